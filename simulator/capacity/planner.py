"""The planner: demands, laws, screening, simulation; then how sure the answer is. The order of the figures' cost.

    answer = solve(Question(Objective(200, 0.3, 0.999), build), print)

Raises Infeasible with every reason and what could be had instead.
"""

from collections.abc import Mapping

from simulator.capacity import binding, laws, robustness
from simulator.capacity.answer import Answer, Option
from simulator.capacity.candidates import Candidate, Field, as_vector
from simulator.capacity.demands import DemandTable, measure
from simulator.capacity.feasibility import Infeasible, impossible, out_of_reach
from simulator.capacity.jury import Judged, Jury, Tell
from simulator.capacity.playing import stage_of
from simulator.capacity.question import UTILISATION_MAX, Question
from simulator.capacity.screening import Screen
from simulator.capacity.search import Found, Search

SATURATION_REPLICAS = 8
SCREENED_SHOWN = 60


def solve(question: Question, tell: Tell) -> Answer:
    """The cheapest vector that meets the objective, with its proof. Raises Infeasible."""
    stage = stage_of(question.build, question.topology, question.replica_cores, question.effort)
    tell("measuring demands")
    table = measure(stage, question.seed)
    screen = Screen(table, min(1.0, question.replica_cores), question.effort, question.seed)
    field = Field(question, question.objective, table, screen)
    impossible(field)
    jury = Jury(stage, question.objective, question.seed, question.spread, tell)
    tell("searching")
    found = Search(field, jury).run()
    if found.answer is None:
        raise out_of_reach(field, jury, found.complete)
    return _assemble(field, jury, found, found.answer)


def _assemble(field: Field, jury: Jury, found: Found, best: Candidate) -> Answer:
    question, table = field.question, field.table
    option = _proven(best, field, jury)
    prices = binding.prices(best, field)
    available = {row.process: field.screen.available(row) for row in table.rows}
    return Answer(
        objective=question.objective,
        prices=question.prices,
        reliability=question.reliability,
        replica_cores=question.replica_cores,
        mix=question.mix,
        seed=question.seed,
        table=table,
        saturation={
            row.process: tuple(
                laws.saturation_per_s(row.demand_s, count * available[row.process])
                for count in range(1, max(SATURATION_REPLICAS, best.counts[row.process]) + 1)
            )
            for row in table.rows
        },
        utilisation={
            name: field.screen.utilisation(name, count, question.objective.rate_per_s)
            for name, count in best.counts.items()
        },
        bounds=_bounds(best.counts, table, available, field.screen.speed),
        best=option,
        runner_up=_runner_up(found.runner_up, field, jury) if found.runner_up else None,
        binding=binding.binding(prices),
        requirement_prices=prices,
        reasons=binding.reasons(best, field, jury),
        odds=robustness.odds(option.whole, jury),
        effects=robustness.sensitivity(option.whole, field, jury),
        deaths=robustness.deaths(best, field, jury),
        headroom=robustness.headroom(best, field, jury),
        screened=_screened(field),
        simulated=jury.played,
        discarded=dict(found.discarded),
        complete=found.complete,
        allowance=field.screen.allowance,
        payments_simulated=jury.payments,
        assumptions=assumptions(field),
    )


def _proven(candidate: Candidate, field: Field, jury: Jury) -> Option:
    """The answer: every state that must hold is played, and the whole as often as the effort allows."""
    fixed = field.table.fixed
    (whole,) = jury.judge([jury.trial(as_vector(candidate.counts, fixed))], jury.stage.effort.replications_max)
    judged = jury.judge([jury.trial(as_vector(counts, fixed)) for counts in candidate.degraded()])
    return _option(candidate, field, whole, dict(zip(_spared(candidate), judged, strict=True)))


def _runner_up(candidate: Candidate, field: Field, jury: Jury) -> Option:
    """With what the search has played: the other states have at least the replicas of one that was shown to do."""
    fixed = field.table.fixed
    (whole,) = jury.judge([jury.trial(as_vector(candidate.counts, fixed))])
    known = [jury.known(as_vector(counts, fixed)) for counts in candidate.degraded()]
    judged = zip(_spared(candidate), known, strict=True)
    return _option(candidate, field, whole, {name: each for name, each in judged if each is not None})


def _spared(candidate: Candidate) -> list[str]:
    """The processes that it has spares of, in the order of its degraded states."""
    return [name for name, spare in candidate.spares.items() if spare]


def _option(candidate: Candidate, field: Field, whole: Judged, degraded: Mapping[str, Judged]) -> Option:
    question, fixed = field.question, field.table.fixed
    cost_per_h = field.cost_per_h(candidate.replicas)
    replicas = candidate.replicas + len(fixed)
    return Option(
        counts=dict(as_vector(candidate.counts, fixed)),
        spares=candidate.spares,
        replicas=replicas,
        cores=replicas * question.replica_cores,
        cost_per_h=cost_per_h,
        cost_per_million=cost_per_h / (question.objective.rate_per_s * 3600) * 1e6,
        availability=field.availability(candidate),
        whole=whole,
        degraded=degraded,
    )


def _bounds(counts: Mapping[str, int], table: DemandTable, available: Mapping[str, float], speed: float) -> laws.Bounds:
    """Of the answer. What is done after the client has its answer loads processes, and is no part of its time."""
    servers = {name: count * available[name] for name, count in counts.items()}
    found = laws.bounds(table.demands_s, servers)
    worked_s = sum(row.per_visit_s * row.awaited for row in table.rows) / speed
    return laws.Bounds(found.bottleneck, found.capacity_per_s, worked_s + table.delay_s, 0.0)


def _screened(field: Field) -> list[tuple[Mapping[str, int], float]]:
    """The first candidates by cost with their screened p99 at their weakest, for a look at the landscape."""
    shown: list[tuple[Mapping[str, int], float]] = []
    for group in field.by_cost():
        shown += [(candidate.counts, candidate.worst_s) for candidate in group]
        if len(shown) >= SCREENED_SHOWN:
            break
    return shown[:SCREENED_SHOWN]


def assumptions(field: Field) -> list[str]:
    """What the answer takes for granted, in the order in which it was used."""
    question, table = field.question, field.table
    objective, reliability = question.objective, question.reliability
    fixed = ", ".join(table.fixed) or "none"
    return [
        f"Demands were measured in one simulated run of {table.pilot_payments} payments at {table.pilot_per_s:g}/s; "
        "they are as good as the calibration.",
        f"Each replica has a host of its own with {question.replica_cores:g} cores; a process is one event loop and "
        "has no use for more than one.",
        "Databases are no queue of their own here: their work is in the commits of whoever uses them.",
        "Clients are many and elsewhere; the channel stands for the banks and is never the bottleneck.",
        f"Not on the path of a payment, one replica each, paid for: {fixed}.",
        f"Arrivals are Poisson at {objective.rate_per_s:g} payments/s; p99 is of successful payments from the "
        "client's intent, checkout included.",
        f"No process is planned to be more than {UTILISATION_MAX:.0%} busy, with the tolerated failures too.",
        "More replicas never make it slower: a vector that misses takes all smaller ones with it.",
        f"A replica fails every {reliability.mtbf_h:g} h and is back after {reliability.mttr_h * 60:g} min, "
        "independently of the others; no zone, network or release takes down several at once.",
        "A vector meets the p99 only if the upper end of its 95 % interval does.",
    ]


__all__ = ["Infeasible", "assumptions", "solve"]
