"""The planner as its user sees it: monotone, deterministic, and honest about what cannot be had."""

import json
from dataclasses import replace
from functools import partial

import pytest

from scenarios.spreading import spread
from simulator.capacity import Answer, BadQuestion, Infeasible, Objective, Question, Reliability, solve
from simulator.capacity.candidates import Field, covers
from simulator.capacity.screening import Screen
from tests.simulator.capacity.examples import QUICK, question, row, table

ASKED = Objective(15.0, 0.3, 0.999, failures=1)


def silent(text: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def answer() -> Answer:
    return solve(question(ASKED), silent)


def test_the_answer_holds_with_its_spares_gone(answer: Answer):
    best = answer.best
    assert best.whole.meets
    assert set(best.degraded) == {"order", "gateway", "payment", "cart", "backoffice"}
    assert all(judged.meets for judged in best.degraded.values())
    assert best.availability >= 0.999
    assert best.counts == {"backoffice": 1} | best.counts


def test_nobody_can_be_taken_away(answer: Answer):
    """At this rate one of each bears the load, and one more has to be there for the failure."""
    assert [answer.best.counts[row.process] for row in answer.table.rows] == [2] * 5
    assert answer.binding == "failures"
    assert {reason.constraint for reason in answer.reasons} == {"failures"}


def test_its_price(answer: Answer):
    best = answer.best
    assert best.cost_per_h == pytest.approx(best.replicas * 0.05)
    assert best.cost_per_million == pytest.approx(best.cost_per_h / (ASKED.rate_per_s * 3600) * 1e6)


def test_the_rate_can_rise_up_to_what_the_law_allows(answer: Answer):
    room = answer.headroom
    assert ASKED.rate_per_s < room.holds_per_s < room.fails_per_s
    assert room.holds_per_s < room.by_law_per_s


def test_more_demand_is_slower_and_less_is_faster(answer: Answer):
    assert {effect.factor for effect in answer.effects} == {0.9, 1.1}
    by_factor = {factor: [e.difference_s.value for e in answer.effects if e.factor == factor] for factor in (0.9, 1.1)}
    assert sum(by_factor[0.9]) < sum(by_factor[1.1])


def test_the_runner_up_is_no_cheaper(answer: Answer):
    assert answer.runner_up is not None
    assert answer.runner_up.cost_per_h >= answer.best.cost_per_h
    assert answer.runner_up.whole.meets


def test_of_the_runner_up_is_played_what_no_smaller_vector_vouches_for(answer: Answer):
    option = answer.runner_up
    assert option is not None
    met = [dict(judged.trial.vector) for judged in answer.simulated if judged.meets]
    for name, spare in option.spares.items():
        state = {**option.counts, name: option.counts[name] - spare}
        assert name in option.degraded or any(covers(state, smaller) for smaller in met)
    assert len(option.degraded) < len(option.spares)


def test_equal_questions_have_equal_answers_on_any_number_of_workers(answer: Answer):
    again = solve(question(ASKED, spread=partial(spread, workers=2, ordered=True)), silent)
    assert json.dumps(again.to_json()) == json.dumps(answer.to_json())


def field(rate: float, failures: int, **changes: object) -> Field:
    asked = replace(question(Objective(rate, 0.05, 0.99, failures)), **changes)  # type: ignore[arg-type]
    rows = table(row("order", 0.008, visits=3), row("gateway", 0.005))
    return Field(asked, asked.objective, rows, Screen(rows, 1.0, QUICK, seed=1))


def cheapest(where: Field) -> int:
    for group in where.by_cost():
        for candidate in group[:1]:
            if candidate.worst_s <= where.objective.p99_s:
                return candidate.replicas
    raise AssertionError("no candidate")


def test_more_rate_never_needs_fewer_replicas():
    needed = [cheapest(field(rate, 1)) for rate in (20, 60, 100, 140, 180, 220, 260, 300)]
    assert needed == sorted(needed)
    assert needed[0] < needed[-1]


def test_more_failures_never_need_fewer_replicas():
    needed = [cheapest(field(100, failures)) for failures in (0, 1, 2)]
    assert needed == sorted(set(needed))


def test_unreliable_replicas_need_spares_of_their_own():
    reliable, unreliable = (field(100, 0, reliability=Reliability(100, mttr_h)) for mttr_h in (0.01, 2.0))
    assert set(next(reliable.by_cost())[0].spares.values()) == {0}
    spares = next(group for group in unreliable.by_cost() if group)[0].spares
    assert all(spare >= 1 for spare in spares.values())


def refused(**changes: object) -> list[tuple[str, float]]:
    with pytest.raises(Infeasible) as caught:
        solve(question(replace(ASKED, **changes), replicas_max=4), silent)  # type: ignore[arg-type]
    return [(refusal.requirement, refusal.nearest) for refusal in caught.value.refusals]


def test_what_cannot_be_met_is_refused_with_every_reason():
    found = dict(refused(rate_per_s=400.0, p99_s=0.005, availability=0.9999999999999))
    assert set(found) == {"rate", "p99", "availability"}
    assert found["p99"] > 0.01
    assert 100 < found["rate"] < 400
    assert 0.999 < found["availability"] < 0.9999999999999


def test_a_question_that_makes_no_sense_names_every_problem():
    with pytest.raises(BadQuestion) as caught:
        Question(Objective(-1, 0, 2.0, -1), build=question(ASKED).build, replica_cores=0)
    assert len(caught.value.problems) == 5
