"""The luck of an injected fault: which calls it strikes, and for how long it holds each of them up.

    chance = random.Random(luck_name(seed, "gateway-0", "fault-1")).random
    if strikes(0.3, chance):
        held_up_ms = delay_ms(200.0, 50.0, chance)

Real replicas and the simulator draw by these rules from generators of the same names, so that the same calls of a
replica in the same order meet the same fate in every world, and other seeds others. The order of draws is part of the
rules: a call that the fault concerns takes one draw if the share is below 1, and then, if it is struck and held up with
jitter, one more. A replica that was restarted begins anew.
"""

from __future__ import annotations

from collections.abc import Callable

Chance = Callable[[], float]
"""The next number of a stream, uniform in [0, 1)."""


def luck_name(seed: int, replica: str, fault_id: str) -> str:
    """What to seed the generator of a fault with, in one life of one replica.

    Replicas differ: with one luck for all, the first calls of every gateway would be struck together or not at all.
    """
    return f"fault:{seed}:{replica}:{fault_id}"


def strikes(share: float, chance: Chance) -> bool:
    """Whether this call is one of the share (0 to 1) that is struck."""
    return share >= 1.0 or chance() < share


def delay_ms(middle_ms: float, jitter_ms: float, chance: Chance) -> float:
    """How long a struck call is held up: uniform in middle +- jitter, never less than nothing."""
    spread_ms = jitter_ms * (2 * chance() - 1) if jitter_ms else 0.0
    return max(0.0, middle_ms + spread_ms)
