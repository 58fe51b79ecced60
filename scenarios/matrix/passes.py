"""How cells become runs: a pass is one scenario that crashes one service again and again, in a window for each cell.

A platform for each cell would take hours in processes. So a pass keeps one platform under a steady load and gives each
of its cells a window: the crash is armed, hits within a second or two, the replica is dead for as long as the cell
says, and the rest of the window is for recovery. What a crash point needs to be passed at all (an abort, a silent
participant, a coordinator that sleeps past its lease) is provoked by further faults within the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any, Final

from scenarios.matrix.cells import COORDINATOR, Cell, Return
from scenarios.spec import Scenario
from scenarios.worlds import UnknownWorld

LEASE_MS: Final = 1_500
PREPARE_TIMEOUT_MS: Final = 1_000
SETTINGS: Final[dict[str, Any]] = {
    "gateway.lease_ms": LEASE_MS,
    "gateway.prepare_timeout_ms": PREPARE_TIMEOUT_MS,
    "payment.orphan_interval_ms": 400,
    "order.orphan_interval_ms": 400,
    "payment.channel_timeout_ms": 400,
    "channel.decline_share": 0.2,  # some payments must abort, after the order has said yes
}
METHODS: Final = {"card": 40, "wallet": 40, "balance": 20}
LATENESS_S: Final = 2.0
"""Of questions that are to come too late."""
WARMUP_S: Final = 3.0
BASELINE_S: Final = 5.0
ATOMIC: Final = ("atomic", "money_conserved", "client_truth")


@dataclass(frozen=True)
class Pace:
    """How fast a world can play: load, time to wait for a hit, and seconds a platform needs to be itself again."""

    rate_per_s: float
    armed_s: float
    settle_s: float
    recovery_s: float


PACES: Final = {
    "simulated": Pace(rate_per_s=8, armed_s=3.0, settle_s=4.0, recovery_s=10),
    "processes": Pace(rate_per_s=8, armed_s=2.5, settle_s=4.5, recovery_s=12),
    "compose": Pace(rate_per_s=6, armed_s=3.0, settle_s=10.0, recovery_s=25),
}


def pace_of(world: str) -> Pace:
    """The pace of a world. Raises UnknownWorld with the names there are."""
    if world not in PACES:
        raise UnknownWorld(f"unknown world {world!r}; expected one of {', '.join(PACES)}")
    return PACES[world]


_DEAD_S: Final = {
    Return.QUICK: 0.5,
    Return.LATE: LEASE_MS / 1000 + 1.0,
    Return.NEVER: LEASE_MS / 1000 + 2.5,
}


@dataclass(frozen=True)
class Window:
    """A cell's part of a pass, [start_s, end_s); `fault` is the id of its crash."""

    cell: Cell
    fault: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Pass:
    """One run. `gives_up`: its transactions run out of retries on purpose, so that they end with the operator."""

    name: str
    scenario: Scenario
    windows: tuple[Window, ...]
    gives_up: bool


def passes(wanted: Sequence[Cell], pace: Pace) -> list[Pass]:
    """The runs that cover `wanted`, each cell in exactly one."""
    return [_pass(key, list(group), pace) for key, group in groupby(sorted(wanted, key=_key), key=_key)]


Key = tuple[str, Return, str]


def _key(cell: Cell) -> Key:
    return (cell.service, cell.comes_back, _kind(cell))


def _kind(cell: Cell) -> str:
    """Cells of one kind can share a platform: the settings they need, and its replicas, are the same."""
    if cell.point.startswith("coordinator.exhausted."):
        return "gives-up"
    return "overtaken" if cell.point.startswith("coordinator.fenced.") else "plain"


def _pass(key: Key, group: list[Cell], pace: Pace) -> Pass:
    service, comes_back, kind = key
    lengths_s = [_armed_s(cell, pace) + _DEAD_S[comes_back] + pace.settle_s for cell in group]
    *starts_s, load_s = accumulate(lengths_s, initial=WARMUP_S + BASELINE_S)
    faults = [_crash(cell, at_s, pace) for cell, at_s in zip(group, starts_s, strict=True)]
    provoked = [fault for cell, at_s in zip(group, starts_s, strict=True) for fault in _provocations(cell, at_s, pace)]
    if kind == "gives-up":
        provoked.append(_silence("payment", starts_s[0], load_s - starts_s[0] - 1.0))
    name = f"matrix-{service}-{comes_back}" + ("" if kind == "plain" else f"-{kind}")
    scenario = Scenario.model_validate(
        {
            "name": name,
            "question": f"Does every payment stay whole wherever {service} dies, if it returns {comes_back}?",
            "platform": {
                "replicas": {service: 2} if comes_back is Return.NEVER or kind == "overtaken" else {},
                "settings": SETTINGS | ({"gateway.retry_attempts_max": 3} if kind == "gives-up" else {}),
            },
            "load": {
                "mix": {"pay": 75, "refund": 25},
                "methods": METHODS,
                "pool": 200,
                "stages": [{"rate": pace.rate_per_s, "for": _time(load_s)}],
            },
            "phases": {"warmup": _time(WARMUP_S), "recovery": _time(pace.recovery_s)},
            "faults": [*faults, *provoked],
            "expect": list(ATOMIC),
        }
    )
    windows = [
        Window(cell, f"f{number}", at_s, at_s + length_s)
        for number, (cell, at_s, length_s) in enumerate(zip(group, starts_s, lengths_s, strict=True), 1)
    ]
    return Pass(name, scenario, tuple(windows), gives_up=kind == "gives-up")


def _crash(cell: Cell, at_s: float, pace: Pace) -> dict[str, Any]:
    return {
        "kind": "crash_at", "at": _time(at_s), "for": _time(_armed_s(cell, pace)), "service": cell.service,
        "point": cell.point, "restart_after": _time(_DEAD_S[cell.comes_back]),
    }  # fmt: skip


def _armed_s(cell: Cell, pace: Pace) -> float:
    """How long the crash may wait for somebody to come by: longer where that takes a nap or a late question."""
    if _kind(cell) == "overtaken":
        return pace.armed_s + _SLEEP_S
    return pace.armed_s + (LATENESS_S if any(cell.is_like(*each) for each in (_ASKED_LATE, _ASKED_TOO_LATE)) else 0.0)


def _provocations(cell: Cell, at_s: float, pace: Pace) -> Iterator[dict[str, Any]]:
    for patterns, provoke in PROVOCATIONS:
        if cell.is_like(*patterns):
            yield from provoke(cell, at_s, pace.armed_s)


def _silence(service: str, at_s: float, for_s: float, share: float = 1.0) -> dict[str, Any]:
    """Decisions do not reach a participant: retries, then its own question, then giving up."""
    return _refused(service, "POST /participant/decision", at_s, for_s, share)


def _refused(service: str, route: str, at_s: float, for_s: float, share: float) -> dict[str, Any]:
    return {
        "kind": "error", "at": _time(at_s), "for": _time(for_s), "service": service, "route": route, "share": share,
    }  # fmt: skip


def _silent_itself(cell: Cell, at_s: float, for_s: float) -> list[dict[str, Any]]:
    return [_silence(cell.service, at_s, for_s)]


def _other_refuses(cell: Cell, at_s: float, for_s: float) -> list[dict[str, Any]]:
    """The other participant cannot be asked, so that what this one holds is released."""
    other = "order" if cell.service == "payment" else "payment"
    return [_refused(other, "POST /participant/prepare", at_s, for_s, 0.8)]


def _lost_replies(_cell: Cell, at_s: float, for_s: float) -> list[dict[str, Any]]:
    """A wallet's answers are lost: whether it was charged is uncertain."""
    return [{"kind": "drop_reply", "at": _time(at_s), "for": _time(for_s), "from": "payment", "to": "channel",
             "path": "/wallet", "share": 0.85}]  # fmt: skip


def _slow_channel(_cell: Cell, at_s: float, for_s: float) -> list[dict[str, Any]]:
    """The order has voted and waits so long for payment's vote that it asks."""
    return [{"kind": "latency", "at": _time(at_s), "for": _time(for_s), "from": "payment", "to": "channel",
             "delay": "300ms", "jitter": "50ms"}, _late_votes(at_s, for_s)]  # fmt: skip


def _late_votes(at_s: float, for_s: float) -> dict[str, Any]:
    return {"kind": "latency", "at": _time(at_s), "for": _time(for_s), "from": "gateway", "to": "payment",
            "path": "/participant/prepare", "delay": "600ms"}  # fmt: skip


def _too_late_question(_cell: Cell, at_s: float, for_s: float) -> list[dict[str, Any]]:
    """Payment hears no decision, and its question takes so long that the coordinator has given up meanwhile."""
    return [_late_questions("payment", at_s, for_s + LATENESS_S)]


def _late_question(_cell: Cell, at_s: float, for_s: float) -> list[dict[str, Any]]:
    """The order asks, and by the time its question arrives it has been told and all is over."""
    return [
        _silence("order", at_s, 1.0),
        _late_questions("order", at_s, for_s + LATENESS_S),
    ]


def _late_questions(service: str, at_s: float, for_s: float) -> dict[str, Any]:
    return {"kind": "latency", "at": _time(at_s), "for": _time(for_s), "from": service, "to": COORDINATOR,
            "path": "/transactions", "delay": _time(LATENESS_S)}  # fmt: skip


def _sleep(_cell: Cell, at_s: float, _for_s: float) -> list[dict[str, Any]]:
    """The coordinator sleeps past its lease, and wakes to find itself overtaken."""
    awake_s = 0.7
    return [
        _late_votes(at_s, awake_s),
        {"kind": "pause", "at": _time(at_s + awake_s), "for": _time(_SLEEP_S - awake_s), "service": COORDINATOR},
    ]


Provoke = Callable[[Cell, float, float], list[dict[str, Any]]]
_SLEEP_S: Final = 2 * LEASE_MS / 1000 + 0.5
_ASKED_LATE: Final = ("*", "coordinator.closed.reply.*")
_ASKED_TOO_LATE: Final = ("*", "coordinator.exhausted.reply.*")
PROVOCATIONS: Final[list[tuple[tuple[str, str], Provoke]]] = [
    (("*", "participant.aborted.*"), _other_refuses),
    (("*", "participant.prepared.send.*"), _silent_itself),
    (("payment", "participant.initial.reply.*"), _lost_replies),
    (("*", "coordinator.preparing.reply.*"), _slow_channel),
    (_ASKED_LATE, _late_question),
    (_ASKED_TOO_LATE, _too_late_question),
    (("*", "coordinator.fenced.*"), _sleep),
]
"""((service, point) patterns, what must go wrong for that step to be passed)."""


def _time(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
