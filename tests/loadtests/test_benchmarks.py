"""The benchmarks' own arithmetic: where the knee is, which budget is kept, which candidate is ahead."""

import math

import pytest

from benchmarks import queues
from benchmarks.given_orders import orders_given
from benchmarks.ladder import rungs
from benchmarks.measure import Figure, Sample, interleaved
from benchmarks.payments import GIVEN, JOURNEYS, Payments
from benchmarks.queues import Queue
from benchmarks.saturation import GENERATOR, OTHERS, Climb, Step, steps_plan
from benchmarks.simulator_speed import CIW, OURS, RECURSION, SIMPY, Found, Speed, stay
from benchmarks.systems import FLOOR, NO_COORDINATOR, PLATFORM, RELAXED, TWO_PHASE
from benchmarks.verdicts import knee_budgets, ladder_budgets, simulator_budgets, start_budgets
from simulator import calibration
from simulator.analysis import mean_of
from simulator.inputs import Arrival, SimulationInput


def _step(offered_per_s: float, settled_per_s: float, p99_s: float = 0.1) -> Step:
    cores = {"gateway": 0.3, GENERATOR: 0.2, OTHERS: 1.5}
    return Step(offered_per_s, settled_per_s, p99_s, cores)


def _climb(system: str, *steps: Step) -> Climb:
    return Climb(system, list(steps), {}, 0)


def test_the_knee_is_the_last_step_that_was_kept_up_with() -> None:
    climb = _climb(PLATFORM, _step(20, 20), _step(40, 39), _step(60, 58, p99_s=1.5), _step(80, 70))
    assert climb.knee is climb.steps[1]
    assert climb.peak_per_s == 70


def test_a_system_that_never_keeps_up_is_judged_by_its_best_step() -> None:
    climb = _climb(PLATFORM, _step(20, 10), _step(40, 15), _step(60, 12))
    assert climb.knee is climb.steps[1]


def test_other_programs_are_not_charged_to_a_payment() -> None:
    assert _step(50, 50).cpu_ms_per_payment == pytest.approx(10.0)
    assert _step(50, 0).cpu_ms_per_payment == math.inf


def test_budgets_compare_medians_of_the_same_run() -> None:
    climbs = [_climb(PLATFORM, _step(60, 60)), _climb(FLOOR, _step(200, 200)), _climb(FLOOR, _step(100, 100))]
    judged = knee_budgets(climbs) + start_budgets(ready_s=6.5, resident_bytes=2**29)
    assert {budget.name: (budget.value, budget.kept) for budget in judged} == {
        "settled payments/s at the knee": (60, True),
        "the same as a share of the floor's": (pytest.approx(0.4), True),
        "seconds until all services are ready": (6.5, False),
        "MiB resident, all services, idle": (512, True),
    }


def test_a_rung_is_compared_with_no_coordinator_by_medians() -> None:
    climbs = [_climb(NO_COORDINATOR, _step(rate, rate)) for rate in (100, 120, 300)]
    climbs += [_climb(TWO_PHASE, _step(90, 90)), _climb(PLATFORM, _step(60, 60)), _climb(RELAXED, _step(66, 66))]
    found = rungs(climbs)
    assert [(rung.settled_per_s, rung.ratio) for rung in found] == [
        (120, 1.0),
        (90, pytest.approx(0.75)),
        (60, pytest.approx(0.5)),
        (66, pytest.approx(0.55)),
    ]
    assert [budget.kept for budget in ladder_budgets(found)] == [True, False]


def test_both_systems_climb_the_same_evenly_spaced_steps() -> None:
    steps = steps_plan(1)
    assert steps == steps_plan(1)
    rates = [stage.rate_per_s for stage in steps.load.stages]
    assert rates == sorted(rates)
    assert {arrival.journey for arrival in steps.arrivals} == {"pay"}


def test_candidates_take_turns_and_the_median_forgives_one_bad_run() -> None:
    order: list[str] = []
    rates = {"a": iter([10.0, 1.0, 11.0]), "b": iter([5.0, 5.0, 5.0])}

    def candidate(name: str) -> Sample:
        order.append(name)
        return Sample(next(rates[name]), math.nan)

    figures = interleaved({name: lambda name=name: candidate(name) for name in rates}, rounds=3)  # type: ignore[misc]
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert [(figure.name, figure.per_s) for figure in figures] == [("a", 10.0), ("b", 5.0)]
    assert Figure.of("c", [Sample(1.0), Sample(3.0)]).spread == 1.0


CANDIDATES = (
    queues.agenda, queues.simpy_resource, queues.ciw_network, queues.salabim_components, queues.recursion,
)  # fmt: skip


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_every_simulator_plays_the_same_queue_and_answers_what_the_formula_says(candidate: queues.Candidate) -> None:
    queue = Queue(servers=4, utilisation=0.5)
    rounds = [candidate(queue, 1_500, seed) for seed in (1, 2, 3)]
    assert [len(each.stayed_s) for each in rounds] == [1_500] * 3
    assert all(each.cpu_s > 0 for each in rounds)
    assert stay(rounds).covers(queue.stay_s)
    assert stay(rounds).relative < 0.15


def test_agenda_and_recursion_agree_about_every_customer() -> None:
    assert queues.largest_difference_s(Queue(2, 0.9), 2_000, seed=4) < 1e-9


def test_the_simulator_is_judged_where_it_does_worst() -> None:
    right, wrong = mean_of([1.0, 1.1, 0.9]), mean_of([2.0, 2.1, 1.9])
    speeds = [
        Speed(queue, name, per_cpu_s, right if name == OURS else wrong, truth_s=1.0)
        for queue, rates in (("one", (100, 20, 10, 5e6)), ("four", (90, 30, 10, 2e7)))
        for name, per_cpu_s in zip((OURS, SIMPY, CIW, RECURSION), rates, strict=True)
    ]
    payments = {JOURNEYS: _payments(per_cpu_s=2_000, failed=1), GIVEN: _payments(per_cpu_s=2_500, failed=0)}
    differences_s = {"one": 1e-12, "four": 1e-3}
    judged = simulator_budgets(Found(tuple(speeds), differences_s, payments, compiled={}))
    assert [budget.value for budget in judged] == [3.0, 9.0, 6, 5e6, 1e-3, 2_500, 1]
    assert [budget.kept for budget in judged] == [True, True, False, False, False, False, False]
    compiled = {JOURNEYS: _payments(per_cpu_s=3_000, failed=0), GIVEN: _payments(per_cpu_s=4_000, failed=2)}
    judged = simulator_budgets(Found(tuple(speeds), differences_s, payments, compiled))
    assert [budget.value for budget in judged[-2:]] == [4_000, 3]
    assert [budget.kept for budget in judged[-2:]] == [True, False]


def _payments(per_cpu_s: float, failed: int) -> Payments:
    return Payments(
        rounds=1, rate_per_s=1, settled=10, failed=failed, cpu_s=1, per_cpu_s=per_cpu_s, p99_s=0.1, visits=8, entries=50
    )


def test_a_payment_of_a_given_order_is_a_whole_payment_and_nothing_else() -> None:
    methods = {"card": 8, "wallet": 7, "balance": 6}
    """The client's request, risk, two prepares and two decisions; and what the channel is asked: two, one, nothing."""
    arrivals = [Arrival(n, n / 10, "pay", method, n + 1, 1, f"k{n}") for n, method in enumerate(methods)]
    plan = SimulationInput(seed=1, duration_s=5, load_s=1, arrivals=tuple(arrivals), calibration=calibration.load())
    simulation = orders_given(plan)
    tables = simulation.run()
    assert list(tables["payments"]["outcome"]) == ["ok"] * 3
    assert list(tables["orders"]["status"]) == ["paid"] * 3
    assert list(tables["requests"]["step"]) == ["pay"] * 3
    assert simulation.network.visits.total() == sum(methods.values())
