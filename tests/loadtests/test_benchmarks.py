"""The benchmarks' own arithmetic: where the knee is, which budget is kept, which candidate is ahead."""

import math

import pytest

from benchmarks.ladder import rungs
from benchmarks.measure import Figure, Sample, interleaved
from benchmarks.saturation import GENERATOR, OTHERS, Climb, Step, steps_plan
from benchmarks.systems import FLOOR, NO_COORDINATOR, PLATFORM, RELAXED, TWO_PHASE
from benchmarks.verdicts import knee_budgets, ladder_budgets, start_budgets


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
