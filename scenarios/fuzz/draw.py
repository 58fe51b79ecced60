"""From a seed to a plan: small platforms, few customers who get in each other's way, and a mix of faults.

Swarm testing: each run draws some kinds of faults and then only faults of those kinds, because a run with everything in
it mostly shows one thing, over and over. Few accounts, little stock, little money, short patience: whatever can collide
should. Every cause has its own stream of random numbers.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy

from scenarios.fuzz.plan import GOODS_COUNT, PROBE_GOODS, FuzzPlan
from scenarios.plan import PlannedFault
from settlement.protocol.crashpoints import COORDINATOR_POINTS, PARTICIPANT_POINTS
from settlement.topology import PARTICIPANTS
from simulator.inputs import Attempt, Purchase

T = TypeVar("T")

CAUSES = {"platform": 0, "purchases": 1, "faults": 2}
STORM_S = (2.0, 4.0)
PURCHASES, FAULTS = (3, 7), (1, 8)
CALM_SHARE = 0.04
"""Runs without any fault: also the platform at peace must be right."""
METHODS = ("card", "wallet", "balance")
LINKS = (
    ("client", "gateway"), ("client", "order"), ("gateway", "order"), ("gateway", "payment"), ("order", "gateway"),
    ("payment", "gateway"), ("payment", "channel"), ("order", "cart"),
)  # fmt: skip
VICTIMS = ("gateway", "gateway", "order", "payment", "channel")
WITHIN_MS_MAX = 900
"""Nothing is under way for longer than the runs are watched after they have settled (`simulator.storm`)."""


class Luck:
    """Draws for one cause."""

    def __init__(self, seed: int, cause: str) -> None:
        sequence = numpy.random.SeedSequence((seed,), spawn_key=(CAUSES[cause],))
        self._stream = numpy.random.default_rng(sequence)

    def pick(self, *choices: T) -> T:
        """One of them, all equally likely."""
        return choices[int(self._stream.integers(len(choices)))]

    def number(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        return int(self._stream.integers(low, high + 1))

    def moment(self, low_s: float, high_s: float) -> float:
        """A time, to the millisecond: it has to be read by people."""
        return round(float(self._stream.uniform(low_s, high_s)), 3)

    def chance(self, share: float) -> bool:
        """True so often."""
        return float(self._stream.random()) < share


def draw(seed: int) -> FuzzPlan:
    """The plan of `seed`: always the same."""
    luck = Luck(seed, "platform")
    storm_s = luck.moment(*STORM_S)
    replicas = {"gateway": luck.pick(1, 2, 2, 3), "order": luck.pick(1, 2), "payment": luck.pick(1, 2)}
    settings = _settings(luck)
    purchases = _purchases(Luck(seed, "purchases"), storm_s)
    return FuzzPlan(seed, storm_s, replicas, settings, purchases, _faults(Luck(seed, "faults"), storm_s, replicas))


def _settings(luck: Luck) -> dict[str, Any]:
    """Everything faster than in production, so that a short run sees leases lapse and orphans ask."""
    return {
        "gateway.prepare_timeout_ms": 600,
        "gateway.lease_ms": luck.pick(700, 1_000, 1_500),
        "gateway.recovery_interval_ms": luck.pick(100, 300),
        "gateway.retry_base_ms": 100,
        "gateway.retry_max_ms": luck.pick(200, 800),
        "order.orphan_interval_ms": luck.pick(150, 400, 1_500),
        "payment.orphan_interval_ms": luck.pick(150, 400, 1_500),
        "payment.channel_timeout_ms": luck.pick(150, 400),
        "payment.opening_balance_minor": luck.pick(9_000, 25_000, 1_000_000),
        "order.goods_count": GOODS_COUNT,
        "order.stock_per_goods": luck.pick(1, 3, 1_000),
        "channel.latency_ms": luck.pick(2, 20, 80),
        "channel.decline_share": luck.pick(0.0, 0.0, 0.2),
        "http.timeout_ms": luck.pick(300, 800),
        "registry.lease_ms": luck.pick(500, 1_500),
    }


# ---- customers ------------------------------------------------------------------------------------------------------


def _purchases(luck: Luck, storm_s: float) -> tuple[Purchase, ...]:
    users = luck.number(1, 3)
    wanted = [number for number in range(1, GOODS_COUNT + 1) if number != PROBE_GOODS][: luck.number(1, 5)]
    return tuple(
        Purchase(
            f"p{number}",
            luck.moment(0.0, 0.9 * storm_s),
            luck.number(1, users),
            luck.pick(*wanted),
            luck.number(1, 2),
            _attempts(luck, f"p{number}"),
        )
        for number in range(1, luck.number(*PURCHASES) + 1)
    )


def _attempts(luck: Luck, key: str) -> tuple[Attempt, ...]:
    """One payment and what may come in its way: the same again, a rival, refunds and their like."""
    attempts = [_attempt(luck, f"{key}-a", "pay")]
    if luck.chance(0.3):
        first = attempts[0]
        attempts.append(Attempt(first.key, "pay", luck.moment(0.0, 0.1), first.method, _patience_s(luck)))
    if luck.chance(0.3):
        attempts.append(_attempt(luck, f"{key}-b", "pay"))
    if luck.chance(0.5):
        attempts.append(_attempt(luck, f"{key}-r", "refund"))
        if luck.chance(0.4):
            attempts.append(_attempt(luck, f"{key}-{luck.pick('r', 's')}", "refund"))
    return tuple(attempts)


def _attempt(luck: Luck, key: str, kind: str) -> Attempt:
    return Attempt(key, kind, luck.moment(0.0, 0.3), luck.pick(*METHODS), _patience_s(luck))


def _patience_s(luck: Luck) -> float | None:
    return luck.moment(0.3, 2.0) if luck.chance(0.25) else None


# ---- faults ---------------------------------------------------------------------------------------------------------


def _faults(luck: Luck, storm_s: float, replicas: dict[str, int]) -> tuple[PlannedFault, ...]:
    if luck.chance(CALM_SHARE):
        return ()
    kinds = [kind for kind in _KINDS if luck.chance(0.4)] or [luck.pick(*_KINDS)]
    faults = []
    for number in range(1, luck.number(*FAULTS) + 1):
        kind = luck.pick(*kinds)
        at_s = luck.moment(0.0, 0.8 * storm_s)
        until_s, parameters = _KINDS[kind](luck, at_s, storm_s, replicas)
        faults.append(PlannedFault(f"f{number}", kind, at_s, until_s, parameters))
    return tuple(faults)


Drawn = tuple[float, dict[str, Any]]


def _link(luck: Luck, at_s: float, storm_s: float, more: dict[str, Any]) -> Drawn:
    source, target = luck.pick(*LINKS)
    share = luck.pick(0.1, 0.3, 0.6, 1.0)
    return luck.moment(at_s + 0.1, storm_s), {"from": source, "to": target, "share": share, **more}


def _latency(luck: Luck, at_s: float, storm_s: float, replicas: dict[str, int]) -> Drawn:
    return _link(luck, at_s, storm_s, {"delay_ms": luck.number(20, WITHIN_MS_MAX), "jitter_ms": luck.number(0, 200)})


def _error(luck: Luck, at_s: float, storm_s: float, replicas: dict[str, int]) -> Drawn:
    return _link(luck, at_s, storm_s, {"status": luck.pick(500, 503)})


def _plain(luck: Luck, at_s: float, storm_s: float, replicas: dict[str, int]) -> Drawn:
    return _link(luck, at_s, storm_s, {})


def _within(luck: Luck, at_s: float, storm_s: float, replicas: dict[str, int]) -> Drawn:
    return _link(luck, at_s, storm_s, {"within_ms": luck.number(5, WITHIN_MS_MAX)})


def _replica(luck: Luck, replicas: dict[str, int], *services: str) -> dict[str, Any]:
    service = luck.pick(*(services or VICTIMS))
    return {"service": service, "replica": luck.number(0, replicas.get(service, 1) - 1)}


def _pause(luck: Luck, at_s: float, storm_s: float, replicas: dict[str, int]) -> Drawn:
    """Often for longer than any lease: the sleeper wakes up as a zombie."""
    return round(at_s + luck.moment(0.2, 2.5), 3), _replica(luck, replicas)


def _kill(luck: Luck, at_s: float, storm_s: float, replicas: dict[str, int]) -> Drawn:
    return at_s, {**_replica(luck, replicas), "restart_after_s": luck.moment(0.1, 2.0)}


def _crash_at(luck: Luck, at_s: float, storm_s: float, replicas: dict[str, int]) -> Drawn:
    if luck.chance(0.6):
        victim, point = _replica(luck, replicas, "gateway"), luck.pick(*COORDINATOR_POINTS)
    else:
        victim, point = _replica(luck, replicas, *PARTICIPANTS), luck.pick(*PARTICIPANT_POINTS)
    more = {"point": point, "nth": luck.pick(1, 1, 2, 4), "restart_after_s": luck.moment(0.1, 2.0)}
    return at_s, {**victim, **more}


def _slow_disk(luck: Luck, at_s: float, storm_s: float, replicas: dict[str, int]) -> Drawn:
    return luck.moment(at_s + 0.1, storm_s), {**_replica(luck, replicas), "delay_ms": luck.pick(20, 150, 600, 1_500)}


def _clock_skew(luck: Luck, at_s: float, storm_s: float, replicas: dict[str, int]) -> Drawn:
    offset_ms = luck.pick(-4_000, -1_000, 1_000, 4_000)
    return luck.moment(at_s + 0.1, storm_s), {**_replica(luck, replicas, "gateway"), "offset_ms": offset_ms}


_KINDS: dict[str, Callable[[Luck, float, float, dict[str, int]], Drawn]] = {
    "latency": _latency,
    "error": _error,
    "drop_reply": _plain,
    "loss": _plain,
    "duplicate": _within,
    "reorder": _within,
    "pause": _pause,
    "kill": _kill,
    "crash_at": _crash_at,
    "slow_disk": _slow_disk,
    "clock_skew": _clock_skew,
}
