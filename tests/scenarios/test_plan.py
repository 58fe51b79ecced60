"""Plans: computed whole, the same for the same seed, with the rates and shares that the scenario asks for."""

from dataclasses import replace
from itertools import islice
from math import sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.plan import Arrival, Plan, plan, user_arrivals
from scenarios.spec import Scenario, load_scenario

SEEDS = st.integers(min_value=0, max_value=2**31 - 1)
STAGES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=5).filter(
    lambda stages: any(rate for rate, _ in stages)
)


def scenario(stages: list[tuple[float, float]], **changes: Any) -> Scenario:
    written = {
        "name": "generated",
        "question": "?",
        "load": {"stages": [{"rate": rate, "for": f"{length}s"} for rate, length in stages], **changes},
        "expect": ["atomic"],
    }
    return Scenario.model_validate(written)


@given(stages=STAGES, seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_same_seed_same_plan_and_through_json(stages: list[tuple[int, int]], seed: int) -> None:
    first = plan(scenario(stages), seed)
    assert plan(scenario(stages), seed) == first
    assert Plan.from_json(first.to_json()) == first


@given(stages=STAGES, seed=SEEDS, spread=st.sampled_from(["poisson", "uniform"]))
@settings(max_examples=50, deadline=None)
def test_arrivals_come_in_order_within_the_load(stages: list[tuple[int, int]], seed: int, spread: str) -> None:
    run = plan(scenario(stages, arrivals=spread), seed)
    times = [arrival.at_s for arrival in run.arrivals]
    assert times == sorted(times)
    assert all(0 <= at_s < run.load_s for at_s in times)
    assert [arrival.number for arrival in run.arrivals] == list(range(len(times)))
    assert len({arrival.key for arrival in run.arrivals}) == len(times)
    assert all(1 <= arrival.goods_id <= run.goods_count and 1 <= arrival.count <= 3 for arrival in run.arrivals)


@given(stages=STAGES, seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_every_stage_has_its_rate(stages: list[tuple[int, int]], seed: int) -> None:
    run = plan(scenario(stages), seed)
    for stage, (rate, length_s) in zip(run.load.stages, stages, strict=True):
        seen = sum(stage.start_s <= arrival.at_s < stage.end_s for arrival in run.arrivals)
        expected = rate * length_s
        assert abs(seen - expected) <= 6 * sqrt(expected)  # six standard deviations of a Poisson count


def test_uniform_arrivals_are_evenly_spread() -> None:
    run = plan(scenario([(10, 2)], arrivals="uniform"), 1)
    assert [arrival.at_s for arrival in run.arrivals[:3]] == pytest.approx([0.05, 0.15, 0.25], abs=1e-6)
    assert len(run.arrivals) == 20


def test_the_mix_and_the_methods_are_as_asked() -> None:
    run = plan(scenario([(500, 20)], mix={"pay": 3, "browse": 1}, methods={"card": 1, "wallet": 1}), 5)
    total = len(run.arrivals)
    assert sum(arrival.journey == "pay" for arrival in run.arrivals) / total == pytest.approx(0.75, abs=0.03)
    assert sum(arrival.method == "card" for arrival in run.arrivals) / total == pytest.approx(0.5, abs=0.03)
    assert {arrival.journey for arrival in run.arrivals} == {"pay", "browse"}


def test_seeds_differ_and_variants_share_their_luck() -> None:
    one, other = plan(scenario([(20, 10)]), 1), plan(scenario([(20, 10)]), 2)
    assert one.arrivals != other.arrivals
    another_mix = plan(scenario([(20, 10)], mix={"browse": 1}), 1)
    assert [a.at_s for a in another_mix.arrivals] == [a.at_s for a in one.arrivals]
    twice_as_fast = plan(scenario([(40, 5)]), 1)
    assert [a.at_s * 2 for a in twice_as_fast.arrivals] == pytest.approx([a.at_s for a in one.arrivals], abs=1e-5)


def test_phases_of_a_run_with_faults() -> None:
    run = plan(load_scenario("participant-crash"), 1)
    assert [(phase.name, phase.start_s, phase.end_s) for phase in run.phases] == [
        ("warmup", 0, 4),
        ("load", 4, 26),
        ("baseline", 4, 10),
        ("stage1", 0, 26),
        ("recovery", 26, 38),
        ("faults", 10, 19.5),
        ("after", 19.5, 26),
    ]
    with pytest.raises(KeyError, match="lunch"):
        run.phase("lunch")


def test_without_faults_the_whole_load_is_baseline() -> None:
    run = plan(load_scenario("baseline"), 1)
    assert (run.phase("baseline").start_s, run.phase("baseline").end_s) == (5, 25)
    assert not {"faults", "after"} & {phase.name for phase in run.phases}


def test_goods_come_from_the_catalogue_of_the_platform() -> None:
    spec = load_scenario("baseline", ["platform.settings.order.goods_count=2"])
    assert {arrival.goods_id for arrival in plan(spec, 1).arrivals} == {1, 2}


def test_closed_users_go_their_own_way_always_the_same() -> None:
    spec = load_scenario("baseline", ["load.kind=closed", "load.stages=[{users: 5, for: 10s}]", "phases.warmup=0s"])
    run = plan(spec, 9)
    assert run.arrivals == ()
    assert run.load.stages[0].users == 5

    def first(user: int, count: int) -> list[Arrival]:
        return list(islice(user_arrivals(run, user), count))

    assert first(1, 200) == first(1, 200)
    assert [replace(a, key="", number=0) for a in first(1, 50)] != [replace(a, key="", number=0) for a in first(2, 50)]
    everybody = [arrival for user in range(5) for arrival in first(user, 200)]
    assert len({arrival.key for arrival in everybody}) == len({arrival.number for arrival in everybody}) == 1000
