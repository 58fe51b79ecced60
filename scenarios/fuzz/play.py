"""Play plans on the simulated platform, and judge what came of them: by the scenarios' checks, and by convergence.

The checks read tables, and a table costs the same whether it has ten rows or a thousand. So the runs of a batch are
laid side by side into one history: names get their run's number in front, times are shifted, and no run can be mistaken
for another. Only if something is wrong in a batch are its halves judged, and in the end single runs.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

import pandas

from scenarios.checks import NAMED, CheckResult, Outcome
from scenarios.checks.result import guarded
from scenarios.fuzz.plan import PROBE_KEY, SETTLE_S_MAX, STARTUP_S, FuzzPlan
from scenarios.history import History
from scenarios.plan import LoadPlan, Plan, PlatformPlan
from settlement.topology import DEFAULT_TOPOLOGY
from simulator import calibration
from simulator.calibration import Calibration
from simulator.inputs import Fault, Load, SimulationInput
from simulator.recorder import COLUMNS
from simulator.storm import Aftermath, weather

CHECKS = ("atomic", "money_conserved", "client_truth")
CONVERGENCE, NO_ERROR = "convergence", "no_error"
CLIENT_TIMEOUT_S = 1.0
APART_S = 1_000.0
"""Between the runs of a batch: far more than any run lasts, so that no fault of one explains an abort of another."""

_JUDGED = ("payments", "transactions", "faults", "orders", "stock", "postings", "holds", "charges", "services")
_NAMES = frozenset({
    "operation", "key", "gid", "payment_gid", "order_no", "paid_gid", "refund_gid", "out_trade_no", "posting_id", "id",
    "replica",
})  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One property (`part`) of one check that does not hold: what was found, and the worst rows."""

    check: str
    part: str
    explanation: str
    evidence: tuple[dict[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """`atomic: AC1 agreement`: what two failures must have in common to be the same."""
        return f"{self.check}: {self.part}" if self.part else self.check


@dataclass(frozen=True)
class Played:
    """A run that was played. `digest` is of every row of its history."""

    plan: FuzzPlan
    aftermath: Aftermath
    digest: str

    @property
    def counts(self) -> Counter[str]:
        """How often what happened: outcomes, crashes, take-overs, faults that struck, crash points passed."""
        return _counts(self)


@dataclass(frozen=True)
class Judged:
    """A run and what is wrong with it, if anything is."""

    played: Played
    findings: tuple[Finding, ...] = field(default=())


def play(plan: FuzzPlan) -> Played:
    """Play one plan: a pure function of it."""
    aftermath = weather(simulation_input(plan), plan.calm_s, SETTLE_S_MAX)
    return Played(plan, aftermath, _digest(aftermath))


def judge(runs: Sequence[Played]) -> list[Judged]:
    """Every run with its findings."""
    broken = [found for run in _halves(list(runs)) for found in run]
    return [Judged(run, (*_unsettled(run), *found)) for run, found in zip(runs, broken, strict=True)]


def _halves(runs: list[Played]) -> Iterator[list[list[Finding]]]:
    """What the checks find in each run: halves that are clean as a whole need no closer look."""
    if len(runs) == 1:
        yield [_broken(runs[0])]
    elif _clean(runs):
        yield [[] for _ in runs]
    else:
        middle = len(runs) // 2
        yield from _halves(runs[:middle])
        yield from _halves(runs[middle:])


def judge_one(plan: FuzzPlan) -> Judged:
    """Play and judge one plan."""
    return judge([play(plan)])[0]


def shows(plan: FuzzPlan, name: str) -> bool:
    """Whether playing the plan leads to the finding called `name`; asks only the check that can say so."""
    run = play(plan)
    check = name.split(":")[0]
    found = _findings(_verdict(check, side_by_side([run]))) if check in CHECKS else _unsettled(run)
    return any(finding.name == name for finding in found)


def simulation_input(plan: FuzzPlan) -> SimulationInput:
    """The plan in the simulator's words, with the purchase that proves the platform well again."""
    return SimulationInput(
        seed=plan.seed,
        duration_s=plan.calm_s + SETTLE_S_MAX,
        load_s=plan.storm_s,
        arrivals=(),
        calibration=_calibration(),
        faults=tuple(Fault(**asdict(fault)) for fault in plan.faults),
        load=Load(pool=1, timeout_s=CLIENT_TIMEOUT_S),
        replicas=plan.replicas,
        settings=plan.settings,
        purchases=(*plan.purchases, plan.probe),
    )


@cache
def _calibration() -> Calibration:
    # A start has STARTUP_S until it counts as late; a third of that is for sharing its core.
    return replace(calibration.load().on_steady_cores(), startup_s={calibration.DEFAULT_ROUTE: STARTUP_S * 2 / 3})


def _digest(aftermath: Aftermath) -> str:
    document = [aftermath.rows, aftermath.unsettled, aftermath.error, aftermath.ended_s]
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


# ---- convergence ----------------------------------------------------------------------------------------------------


def _unsettled(run: Played) -> list[Finding]:
    aftermath = run.aftermath
    if aftermath.error:
        return [Finding(NO_ERROR, aftermath.error.split(":")[0], f"The platform's code broke: {aftermath.error}.")]
    found = []
    if aftermath.unsettled:
        late = f"{SETTLE_S_MAX:g} s after the last fault" if aftermath.settled_s is None else "after all was settled"
        rows = tuple({"open": what} for what in aftermath.unsettled)
        found.append(Finding(CONVERGENCE, "settled", f"Still open {late}: {', '.join(aftermath.unsettled)}.", rows))
    told = [row["outcome"] for row in aftermath.rows["payments"] if row["key"] == f"{PROBE_KEY}-pay"]
    if told != ["ok"]:
        said = told[0] if told else "never asked"
        found.append(Finding(CONVERGENCE, "works again", f"A new payment after the last fault ended: {said}."))
    return found


# ---- the checks -----------------------------------------------------------------------------------------------------


def _clean(runs: Sequence[Played]) -> bool:
    history = side_by_side(runs)
    return all(_verdict(name, history).verdict is Outcome.PASS for name in CHECKS)


def _broken(run: Played) -> list[Finding]:
    history = side_by_side([run])
    return [finding for name in CHECKS for finding in _findings(_verdict(name, history))]


def _verdict(name: str, history: History) -> CheckResult:
    return guarded(name, lambda: NAMED[name](history))


def _findings(result: CheckResult) -> list[Finding]:
    if result.verdict is Outcome.PASS:
        return []
    broken = [part for part in result.parts if part.violations]
    if not broken:
        return [Finding(result.name, "", result.explanation)]
    return [
        Finding(result.name, part.name, f"{part.violations} found.", _evidence(result, part.name)) for part in broken
    ]


def _evidence(result: CheckResult, part: str) -> tuple[dict[str, Any], ...]:
    rows = (row for row in result.evidence if row["property"] == part)
    return tuple({key: value for key, value in row.items() if key != "property"} for row in rows)


def side_by_side(runs: Sequence[Played]) -> History:
    """One history of all runs; one alone keeps its own names and times."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _JUDGED}
    for number, run in enumerate(runs):
        for name in _JUDGED:
            columns = COLUMNS[name]
            own = run.aftermath.rows[name]
            rows[name] += own if not number else _shifted(own, columns, f"{number}/", number * APART_S)
    plan = _checks_plan(runs)
    tables = {name: pandas.DataFrame.from_records(rows[name]) for name in _JUDGED}  # the history makes proper ones
    return History(tables, plan, "simulated")


def _shifted(rows: list[dict[str, Any]], columns: Sequence[str], prefix: str, by_s: float) -> list[dict[str, Any]]:
    names = [column for column in columns if column in _NAMES]
    times = [column for column in columns if column.endswith("_s")]
    shifted = []
    for row in rows:
        moved = dict(row)
        for name in names:
            if moved[name]:
                moved[name] = prefix + moved[name]
        for time in times:
            moved[time] += by_s
        if "account" in moved:  # users are the only accounts that a check follows through a run
            moved["account"] = moved["account"].replace("user:", f"user:{prefix}")
        shifted.append(moved)
    return shifted


def _checks_plan(runs: Sequence[Played]) -> Plan:
    first = runs[0].plan
    settings = {"gateway.prepare_timeout_ms": first.settings["gateway.prepare_timeout_ms"]}
    return Plan(
        scenario="fuzz",
        seed=first.seed,
        duration_s=(len(runs) - 1) * APART_S + max(run.aftermath.ended_s for run in runs),
        load_s=first.storm_s,
        goods_count=first.settings["order.goods_count"],
        phases=(),
        arrivals=(),
        faults=first.faults,
        load=LoadPlan("open", 1, CLIENT_TIMEOUT_S, 0.0, 0.0, (), {}, {}),
        platform=PlatformPlan(DEFAULT_TOPOLOGY, "two_phase", first.replicas, settings),
    )


# ---- what happened --------------------------------------------------------------------------------------------------


def _counts(run: Played) -> Counter[str]:
    rows, sightings = run.aftermath.rows, run.aftermath.sightings
    counts = Counter({f"point {name}" if "." in name else name: seen for name, seen in sightings.items()})
    decided = [row for row in rows["transactions"] if row["event"] == "decided"]
    counts["operations"] = len(rows["payments"])
    for row in rows["payments"]:
        counts[f"told {row['outcome']}"] += 1
    for row in decided:
        counts[f"{row['value']}s"] += 1
        counts[f"{row['kind']}s committed"] += row["value"] == "commit"
    for row in rows["faults"]:
        counts[f"fault {row['kind']}"] += row["hits"] > 0
    counts["crashes"] = sum(row["event"] == "died" and row["service"] != "backoffice" for row in rows["services"])
    return counts
