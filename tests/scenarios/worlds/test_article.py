"""The same faults under the article's protocol and under two-phase commit, in virtual time."""

import pytest

from scenarios.checks import Verdict, check
from scenarios.plan import plan
from scenarios.spec import load_scenario
from scenarios.worlds import world_named
from scenarios.worlds.base import SilentProgress

SCENARIOS = ("article-lost-confirm", "article-gateway-crash")


def judged(name: str, *overrides: str, expected: tuple[str, ...] = ()) -> Verdict:
    scenario = load_scenario(name, overrides)
    history = world_named("simulated").play(plan(scenario, 7), None, SilentProgress())
    return check(history, expected or scenario.expect)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_article_loses_the_customers_money_and_the_lab_says_whose(name: str) -> None:
    verdict = judged(name)
    assert {result.name: str(result.verdict) for result in verdict.checks if result.verdict != "pass"} == {}
    assert {result.name for result in verdict.checks if result.negated} == {"not atomic", "not money_conserved"}
    (lost,) = verdict.losses["lost"]
    assert (lost["who"], lost["currency"]) == ("customer", "CNY")
    assert lost["orders"] >= 3
    rows = verdict.losses["evidence"]
    assert lost["lost_minor"] >= sum(row["taken_minor"] for row in rows) > 0
    assert {(row["what"], row["order"], row["told"]) for row in rows} == {
        ("charged, order not paid", "pending", "payment failed")
    }


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_faults_cost_nobody_anything_under_two_phase_commit(name: str) -> None:
    verdict = judged(name, "platform.protocol=two_phase")
    assert {result.name: result.explanation for result in verdict.checks if result.verdict != "pass"} == {}
    assert verdict.losses["broken"] == 0
    assert set(verdict.not_asked) == {"not atomic under article", "not money_conserved under article"}


def test_without_a_fault_the_article_pays_and_refunds_like_any_other() -> None:
    quiet = ("faults=[]", "load.mix={pay: 60, refund: 40}")
    verdict = judged("article-lost-confirm", *quiet, expected=("atomic", "money_conserved", "client_truth"))
    assert {result.name: result.explanation for result in verdict.checks if result.verdict != "pass"} == {}
    assert verdict.losses["broken"] == 0


def test_a_violation_that_never_came_fails_the_run() -> None:
    verdict = judged("article-lost-confirm", "faults=[]")
    assert verdict.verdict == "fail"


def test_a_lost_confirmation_of_a_refund_costs_the_merchant() -> None:
    verdict = judged("article-lost-confirm", "load.mix={refund: 100}")
    lost = {row["what"]: row["who"] for row in verdict.losses["totals"]}
    assert lost["money given back, order still paid"] == "merchant"
