"""What a calibration plays: each client operation alone, then the mix at several rates, as one plan of many segments.

The highest of these rates is for what a busy machine does cheaper than an idle one (scenarios.calibrate.waking).

One plan means one start of the platform: the segments follow each other with a pause, in which events are delivered
and everybody comes to rest. Every operation is alone in some segment, so its CPU can be told from the others';
segments come in rounds, so that a slow spell of the machine falls on several and shows in the intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Any

from scenarios.phases import phase_windows
from scenarios.plan import Arrival, LoadPlan, LoadStage, Phase, Plan, PlannedFault, PlatformPlan
from settlement.settings import SETTINGS

METHODS = ("balance", "card", "wallet")
SINGLE_STEPS = ("goods_list", "goods", "cart_get", "cart_put", "check_out")
MIX = ("pay", "browse", "pay", "refund", "pay", "browse", "pay", "pay", "browse", "pay")
# As many as are under way at the highest rate; an account is an argon2 hash in the way of the start.
POOL = 40
SETTLE_S = 1.5
LEAD_S = 0.5
RECOVERY_S = 2.0
GOODS_COUNT = int(str(SETTINGS["order.goods_count"].default))


@dataclass(frozen=True)
class Segment:
    """A stretch of the run: `journeys` and `methods` in turn, `rate_per_s` of them; the load is [start_s, end_s).

    What it caused is over by `until_s`; CPU is counted until then.
    """

    name: str
    journeys: tuple[str, ...]
    methods: tuple[str, ...]
    rate_per_s: float
    start_s: float
    end_s: float

    @property
    def until_s(self) -> float:
        """The end of the pause behind it."""
        return self.end_s + SETTLE_S


@dataclass(frozen=True)
class Pace:
    """How long and how hard: seconds of a segment and of a mix, rounds, rates a second of steps, payments and mixes."""

    segment_s: float = 3.0
    mix_s: float = 6.0
    rounds: int = 3
    step_rate_per_s: float = 50.0
    pay_rate_per_s: float = 10.0
    mix_rates_per_s: tuple[float, ...] = (6.0, 12.0, 20.0, 40.0, 60.0)
    idle_s: float = 5.0
    traced_s: float = 12.0
    restarts: tuple[str, ...] = ("gateway", "order", "payment")
    restart_s: float = 5.0

    def lasts_s(self, journeys: tuple[str, ...]) -> float:
        """How long such a segment is."""
        if not journeys:
            return self.idle_s
        return self.mix_s if journeys == MIX else self.segment_s


QUICK = Pace(
    segment_s=2.0,
    mix_s=3.0,
    rounds=1,
    mix_rates_per_s=(8.0, 16.0, 32.0, 48.0),
    idle_s=3.0,
    traced_s=6.0,
    restarts=("payment",),
)


@dataclass(frozen=True)
class Experiment:
    """A plan and the segments that it is made of."""

    plan: Plan
    segments: tuple[Segment, ...]


def measured(pace: Pace, seed: int) -> Experiment:
    """Untraced: idle, every operation alone, the mix; then restarts."""
    segments = tuple(_placed(_kinds(pace), pace))
    end_s = segments[-1].until_s
    faults = [
        PlannedFault(f"f{number}", "kill", at_s, at_s + 0.1, {"service": service, "replica": 0, "restart_after_s": 0.1})
        for number, service in enumerate(pace.restarts, 1)
        for at_s in [end_s + (number - 1) * pace.restart_s]
    ]
    rest_s = RECOVERY_S + len(faults) * pace.restart_s
    return Experiment(_plan("calibrate", segments, seed, rest_s, faults), segments)


def traced(pace: Pace, seed: int) -> Experiment:
    """Every request recorded, one journey after the other: for the call graph, not for CPU."""
    journeys = ("browse", "pay", "refund")
    segment = Segment("traced", journeys, METHODS, 6.0, LEAD_S, LEAD_S + pace.traced_s)
    return Experiment(
        _plan("calibrate-traced", (segment,), seed, RECOVERY_S, [], {"trace.sample_share": 1}), (segment,)
    )


def _kinds(pace: Pace) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...], float]]:
    """(name, journeys, methods, rate a second) of every segment, in order."""
    for _ in range(pace.rounds):
        yield "idle", (), METHODS, 0.0
        for step in SINGLE_STEPS:
            rate_per_s = pace.pay_rate_per_s * 1.5 if step == "check_out" else pace.step_rate_per_s
            yield step, (step,), METHODS, rate_per_s
        for journey in ("pay", "refund"):
            for method in METHODS:
                yield (
                    f"{journey} {method}",
                    (journey,),
                    (method,),
                    pace.pay_rate_per_s / (2 if journey == "refund" else 1),
                )
        for rate_per_s in pace.mix_rates_per_s:
            yield f"mix {rate_per_s:g}/s", MIX, METHODS, rate_per_s


def _placed(kinds: Iterator[tuple[str, tuple[str, ...], tuple[str, ...], float]], pace: Pace) -> Iterator[Segment]:
    at_s = LEAD_S
    for name, journeys, methods, rate_per_s in kinds:
        length_s = pace.lasts_s(journeys)
        yield Segment(name, journeys, methods, rate_per_s, at_s, at_s + length_s)
        at_s += length_s + SETTLE_S


def _plan(
    name: str,
    segments: Sequence[Segment],
    seed: int,
    rest_s: float,
    faults: list[PlannedFault],
    settings: dict[str, Any] | None = None,
) -> Plan:
    load_s = segments[-1].until_s
    chance = Random(seed)
    arrivals = tuple(
        Arrival(number, *what, number % GOODS_COUNT + 1, number % 3 + 1, f"{name}-{seed}-{number:06d}")
        for number, what in enumerate(each for segment in segments for each in _arrivals(segment, chance))
    )
    stage = LoadStage(0.0, load_s, len(arrivals) / load_s, 0)
    load = LoadPlan("open", POOL, 10.0, 20.0, 0.0, (stage,), {"pay": 1.0}, dict.fromkeys(METHODS, 1 / len(METHODS)))
    return Plan(
        scenario=name,
        seed=seed,
        duration_s=load_s + rest_s,
        load_s=load_s,
        goods_count=GOODS_COUNT,
        phases=tuple(Phase(*window) for window in phase_windows([load_s], 0.0, rest_s, [])),
        arrivals=arrivals,
        faults=tuple(faults),
        load=load,
        platform=PlatformPlan(settings=settings or {}),
        question="What does everything cost on this machine?",
    )


def _arrivals(segment: Segment, chance: Random) -> Iterator[tuple[float, str, str]]:
    """(at_s, journey, method), one in each of equal stretches: how many come is no chance's, how long all sleep is."""
    journeys, methods = cycle(segment.journeys), segment.methods
    for index in range(round((segment.end_s - segment.start_s) * segment.rate_per_s)):
        # One journey goes through all methods before its turn comes with the same again.
        yield (
            segment.start_s + (index + chance.random()) / segment.rate_per_s,
            next(journeys),
            methods[(index + index // len(segment.journeys)) % len(methods)],
        )
