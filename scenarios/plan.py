"""A run computed whole before anything starts: every arrival, every fault, every phase, from (scenario, seed).

A world plays a plan and decides nothing; the same scenario and seed give the same plan, so two worlds (and two
variants of one platform) share their luck. Times are seconds from the moment the first arrival is possible.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy

from scenarios.phases import phase_windows
from settlement.settings import SETTINGS
from settlement.topology import DEFAULT_TOPOLOGY, replica_name

if TYPE_CHECKING:
    from scenarios.spec import Scenario

# One stream of random numbers a cause, so that a change of one (the mix) leaves the luck of the others (the times).
CAUSES = {"times": 0, "journeys": 1, "methods": 2, "goods": 3, "counts": 4, "users": 5}
COUNT_MAX = 3  # pieces of one article in an order
USER_BLOCK = 64  # journeys of a closed user that are drawn at once
USER_JOURNEYS_MAX = 1_000_000


@dataclass(frozen=True)
class Phase:
    """A named part of the run, [start_s, end_s). Phases may overlap."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Arrival:
    """One client operation: a journey that starts at `at_s`, buys `count` of `goods_id`, pays by `method`.

    `key` is the stem of its idempotency keys (`<key>-pay`, `<key>-refund`). In a closed load `at_s` is 0: users start
    when they are free.
    """

    number: int
    at_s: float
    journey: str
    method: str
    goods_id: int
    count: int
    key: str


@dataclass(frozen=True)
class PlannedFault:
    """A fault of the scenario with its defaults filled in; `parameters` as `scenarios.faults` describes them.

    Durations in `parameters` are numbers with the unit in the name (`delay_ms`, `restart_after_s`). A `crash_at` is
    armed from `at_s` until it hits or the load ends; its `until_s` supposes that it hits at once.
    """

    id: str
    kind: str
    at_s: float
    until_s: float
    parameters: dict[str, Any]

    @property
    def target(self) -> str:
        """What it hits: `gateway-0`, `mariadb`, `payment -> channel /wallet`, `order POST /orders`."""
        where = self.parameters
        if "of" in where:
            return str(where["of"])
        if "from" in where:
            return f"{where['from']} -> {where['to']} {where.get('path', '')}".rstrip()
        if "route" in where:
            return f"{where['service']} {where['route']}"
        return replica_name(where["service"], where.get("replica", 0))


@dataclass(frozen=True)
class LoadStage:
    """A stretch of the load, [start_s, end_s): `rate_per_s` arrivals per second if open, `users` at work if closed."""

    start_s: float
    end_s: float
    rate_per_s: float = 0.0
    users: int = 0


@dataclass(frozen=True)
class LoadPlan:
    """The load as a whole. kind: open | closed. `pool`: most journeys at once. `mix`, `methods`: shares that sum to 1.

    `timeout_s` bounds one HTTP attempt; `deadline_s` one money operation with all its retries.
    """

    kind: str
    pool: int
    timeout_s: float
    deadline_s: float
    think_s: float
    stages: tuple[LoadStage, ...]
    mix: dict[str, float]
    methods: dict[str, float]


@dataclass(frozen=True)
class PlatformPlan:
    """The platform under test: topology name, protocol, replicas of each service (default 1), changed settings."""

    topology: str = DEFAULT_TOPOLOGY
    protocol: str = "two_phase"
    replicas: dict[str, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def all_settings(self) -> dict[str, Any]:
        """What the services are told: the changed settings, and the protocol if it is not theirs by default."""
        default = SETTINGS["gateway.protocol"].default
        return {**self.settings, **({} if self.protocol == default else {"gateway.protocol": self.protocol})}


@dataclass(frozen=True)
class Plan:
    """Everything a world needs. `load_s`: arrivals stop. `duration_s`: the run ends (load and recovery)."""

    scenario: str
    seed: int
    duration_s: float
    load_s: float
    goods_count: int
    phases: tuple[Phase, ...]
    arrivals: tuple[Arrival, ...]
    faults: tuple[PlannedFault, ...]
    load: LoadPlan
    platform: PlatformPlan
    question: str = ""

    def phase(self, name: str) -> Phase:
        """The phase called `name`. Raises KeyError with the names there are."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(f"no phase {name!r}; this run has {', '.join(phase.name for phase in self.phases)}")

    def to_json(self) -> str:
        """One JSON document, from which `from_json` makes an equal plan."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """The plan that `to_json` wrote. Raises KeyError or TypeError if the document is not a plan."""
        data = json.loads(text)
        load = data.pop("load")
        stages = tuple(LoadStage(**stage) for stage in load.pop("stages"))
        return cls(
            phases=tuple(Phase(**phase) for phase in data.pop("phases")),
            arrivals=tuple(Arrival(**arrival) for arrival in data.pop("arrivals")),
            faults=tuple(PlannedFault(**fault) for fault in data.pop("faults")),
            load=LoadPlan(stages=stages, **load),
            platform=PlatformPlan(**data.pop("platform")),
            **data,
        )


def plan(spec: "Scenario", seed: int) -> Plan:
    """The whole run of a scenario: the same (spec, seed) give an equal plan, always and everywhere."""
    load = _load(spec)
    goods_count = spec.platform.settings.get("order.goods_count", SETTINGS["order.goods_count"].default)
    faults = tuple(
        PlannedFault(f"f{number}", fault.kind, fault.at_s, fault.end_s, fault.parameters())
        for number, fault in enumerate(spec.faults, 1)
    )
    windows = phase_windows(
        [stage.for_s for stage in spec.load.stages],
        spec.phases.warmup_s,
        spec.phases.recovery_s,
        [(fault.at_s, fault.until_s) for fault in faults],
    )
    times = _times_s(load.stages, spec.load.arrivals, seed) if load.kind == "open" else numpy.empty(0)
    return Plan(
        scenario=spec.name,
        seed=seed,
        duration_s=spec.duration_s,
        load_s=spec.load_s,
        goods_count=goods_count,
        phases=tuple(Phase(*window) for window in windows),
        arrivals=_arrivals(times, load, goods_count, (seed,), f"{spec.name}-{seed}"),
        faults=faults,
        load=load,
        platform=PlatformPlan(**spec.platform.model_dump()),
        question=spec.question,
    )


def user_arrivals(plan: Plan, user: int) -> Iterator[Arrival]:
    """What closed user number `user` does, journey after journey: the same in every world. Ends after a million."""
    for first in range(0, USER_JOURNEYS_MAX, USER_BLOCK):
        entropy = (plan.seed, user, first)
        stem = f"{plan.scenario}-{plan.seed}-u{user}"
        base = user * USER_JOURNEYS_MAX + first
        yield from _arrivals(numpy.zeros(USER_BLOCK), plan.load, plan.goods_count, entropy, stem, base)


def _load(spec: "Scenario") -> LoadPlan:
    stages, start_s = [], 0.0
    for stage in spec.load.stages:
        stages.append(LoadStage(start_s, start_s + stage.for_s, stage.rate_per_s or 0.0, stage.users or 0))
        start_s += stage.for_s
    load = spec.load
    return LoadPlan(
        kind=load.kind,
        pool=load.pool,
        timeout_s=load.timeout_s,
        deadline_s=load.deadline_s,
        think_s=load.think_s,
        stages=tuple(stages),
        mix=_shares(load.mix),
        methods=_shares(load.methods),
    )


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight > 0}


def _stream(cause: str, entropy: tuple[int, ...]) -> numpy.random.Generator:
    return numpy.random.default_rng(numpy.random.SeedSequence(entropy, spawn_key=(CAUSES[cause],)))


def _times_s(stages: tuple[LoadStage, ...], spread: str, seed: int) -> "numpy.typing.NDArray[numpy.float64]":
    """Arrival times: a process of rate one, stretched to the rates of the stages: rates may change, luck stays."""
    expected = sum(stage.rate_per_s * (stage.end_s - stage.start_s) for stage in stages)
    if spread == "uniform":
        ticks = numpy.arange(round(expected)) + 0.5
    else:
        # Ten standard deviations more than expected are drawn, and those after the end are left out.
        gaps = _stream("times", (seed,)).exponential(size=int(expected + 10 * expected**0.5 + 10))
        ticks = numpy.cumsum(gaps)
    times, before = [], 0.0
    for stage in stages:
        amount = stage.rate_per_s * (stage.end_s - stage.start_s)
        inside = ticks[(ticks >= before) & (ticks < before + amount)]
        if amount > 0:
            times.append(stage.start_s + (inside - before) / stage.rate_per_s)
        before += amount
    # Microseconds are enough, and cut off rather than rounded: no arrival may move to the end of the load.
    return numpy.floor(numpy.concatenate(times) * 1e6) / 1e6


def _arrivals(
    times_s: "numpy.typing.NDArray[numpy.float64]",
    load: LoadPlan,
    goods_count: int,
    entropy: tuple[int, ...],
    stem: str,
    first: int = 0,
) -> tuple[Arrival, ...]:
    size = len(times_s)
    journeys = _drawn(load.mix, _stream("journeys", entropy), size)
    methods = _drawn(load.methods, _stream("methods", entropy), size)
    goods = _stream("goods", entropy).integers(1, goods_count + 1, size).tolist()
    counts = _stream("counts", entropy).integers(1, COUNT_MAX + 1, size).tolist()
    numbers = range(first, first + size)
    keys = [f"{stem}-{number:06d}" for number in numbers]
    columns = (numbers, times_s.tolist(), journeys, methods, goods, counts, keys)
    return tuple(Arrival(*row) for row in zip(*columns, strict=True))


def _drawn(shares: Mapping[str, float], stream: numpy.random.Generator, size: int) -> list[str]:
    names = list(shares)
    limits = numpy.cumsum(list(shares.values()))
    limits[-1] = 1.0  # whatever the rounding made of it
    return [names[index] for index in numpy.searchsorted(limits, stream.random(size), side="right")]
