"""Atomicity: a correct history passes; each way to break it is noticed, by the property that it breaks."""

import pytest

from scenarios.checks.result import CheckResult, Outcome

from .histories import Row, Run, judgement, ordinary


def judged(run: Run) -> CheckResult:
    return judgement(run, "atomic")


def broken(run: Run) -> dict[str, int]:
    result = judged(run)
    assert result.verdict is Outcome.FAIL
    assert result.evidence
    return {part.name.split()[0]: part.violations for part in result.parts if part.violations}


def row(gid: str, role: str, event: str):
    return lambda row: (row["gid"], row["role"], row["event"]) == (gid, role, event)


def of(gid: str):
    return lambda row: row["gid"] == gid


def test_a_correct_history_passes():
    result = judged(ordinary())
    assert result.verdict is Outcome.PASS
    assert "6 committed, 1 aborted" in result.explanation


def test_one_participant_applies_the_other_outcome():
    run = ordinary().change("transactions", row("pay-a", "order", "applied"), value="aborted")
    assert broken(run) == {"AC1": 2}


def test_both_participants_apply_what_was_not_decided():
    run = ordinary().change("transactions", row("pay-a", "coordinator", "decided"), value="abort")
    assert broken(run)["AC1"] == 2


def test_a_commit_without_any_decision():
    run = ordinary().drop("transactions", row("pay-a", "coordinator", "decided"))
    assert broken(run)["AC1"] == 2


def test_an_abort_that_no_coordinator_knows_is_presumed_abort():
    run = ordinary().event("pay-a", "order", "vote", "no", 20.0, gid="pay-z")
    run.event("pay-a", "order", "applied", "aborted", 21.0, gid="pay-z")
    assert judged(run).verdict is Outcome.PASS


@pytest.mark.parametrize(
    ("role", "event", "value"), [("coordinator", "decided", "abort"), ("order", "applied", "aborted")]
)
def test_a_reversal_even_if_it_is_reversed_back(role: str, event: str, value: str):
    run = ordinary().event("pay-a", role, event, value, 1.0201).event("pay-a", role, event, _opposite(value), 1.0202)
    assert broken(run)["AC2"] == 1


def _opposite(value: str) -> str:
    return {"abort": "commit", "aborted": "committed"}[value]


def test_a_commit_against_a_no():
    run = ordinary().change("transactions", row("pay-a", "payment", "vote"), value="no")
    assert broken(run) == {"AC3": 1}


def test_a_commit_without_a_vote():
    run = ordinary().drop("transactions", row("pay-a", "payment", "vote"))
    assert broken(run) == {"AC3": 1}


def test_a_decision_before_the_vote_it_needs():
    run = ordinary().change("transactions", row("pay-a", "payment", "vote"), at_s=1.5)
    assert broken(run)["AC3"] == 1


def test_a_commit_applied_before_it_was_decided():
    run = ordinary().change("transactions", row("pay-a", "order", "applied"), at_s=1.011)
    assert broken(run) == {"AC3": 1}


def test_money_that_no_client_asked_for():
    run = ordinary().drop("payments", of("pay-a"))
    assert broken(run) == {"AC3": 1}


@pytest.mark.parametrize("change", [{"amount_minor": 5}, {"currency": "EUR"}, {"kind": "refund"}])
def test_a_commit_of_something_else_than_was_asked_for(change: Row):
    assert broken(ordinary().change("payments", of("pay-a"), **change)) == {"AC3": 1}


def _aborted_for_nothing(**settings: int) -> Run:
    run = Run().payment("a", 1.0).payment("b", 2.0, commit=False)
    run.settings = settings
    return run.change("transactions", row("pay-b", "payment", "vote"), value="yes")


def test_an_abort_without_a_reason():
    assert broken(_aborted_for_nothing()) == {"AC4": 1}


def test_an_abort_during_a_fault_has_a_reason():
    assert judged(_aborted_for_nothing().fault(at_s=1.9, until_s=2.1)).verdict is Outcome.PASS


def test_an_abort_while_a_service_was_down_has_a_reason():
    run = _aborted_for_nothing()
    run.add("services", service="order", replica="order-0", event="died", at_s=1.5)
    run.add("services", service="order", replica="order-0", event="ready", at_s=2.5)
    assert judged(run).verdict is Outcome.PASS


@pytest.mark.parametrize(("noticed_s", "has_reason"), [(2.4, True), (3.5, False)])
def test_a_death_is_noticed_a_moment_after_it(noticed_s: float, has_reason: bool):
    run = _aborted_for_nothing().fault(at_s=noticed_s, until_s=4.0)
    assert (judged(run).verdict is Outcome.PASS) == has_reason


def test_an_abort_after_the_prepare_timeout_has_a_reason():
    assert judged(_aborted_for_nothing(**{"gateway.prepare_timeout_ms": 20})).verdict is Outcome.PASS


def test_a_platform_that_never_commits():
    run = Run().payment("a", commit=False).payment("b", 2.0, commit=False)
    assert broken(run) == {"AC4": 1}


def test_a_run_in_which_nobody_paid_is_unknown():
    result = judged(Run().request("look", 1.0))
    assert result.verdict is Outcome.UNKNOWN


def test_undecided_at_the_end():
    run = ordinary().drop("transactions", lambda row: row["gid"] == "pay-d" and row["event"] in ("decided", "closed"))
    assert broken(run) == {"AC5": 1}


def test_in_doubt_at_the_end():
    run = ordinary().drop("transactions", row("pay-a", "order", "applied"))
    assert broken(run) == {"AC5": 1}


def test_not_acknowledged_at_the_end():
    run = ordinary().drop("transactions", row("pay-a", "coordinator", "closed"))
    assert broken(run) == {"AC5": 1}


def test_retries_exhausted():
    run = ordinary().change("transactions", row("pay-a", "coordinator", "closed"), event="exhausted")
    assert broken(run) == {"AC5": 1}
    assert "given up" in judged(run).evidence[0]["problem"]


def test_exhausted_and_then_resumed_has_ended():
    assert judged(ordinary().event("pay-a", "coordinator", "exhausted", "commit", 1.03)).verdict is Outcome.PASS


def test_a_heuristic_decision_is_a_hazard():
    result = judged(ordinary().change("transactions", row("pay-a", "coordinator", "decided"), heuristic=True))
    assert result.verdict is Outcome.PASS
    assert "Hazard: 1 decided by an operator" in result.explanation
    assert result.evidence[0]["gid"] == "pay-a"


def ordered(run: Run, action: str, at_s: float = 2.0, gid: str = "pay-a") -> Run:
    """An operator's order about a payment."""
    return run.event(gid, "coordinator", "intervened", action, at_s)


def test_an_operators_decision_against_the_protocols_that_somebody_applied_is_damage():
    run = ordered(ordinary(), "abort").change("transactions", row("pay-a", "payment", "applied"), value="aborted")
    result = judged(run)
    assert result.verdict is Outcome.FAIL
    broken = {part.name: part.violations for part in result.parts if part.violations}
    assert broken["no heuristic damage"] == 1
    evidence = next(found for found in result.evidence if found["property"] == "no heuristic damage")
    assert (evidence["role"], evidence["decision"], evidence["ordered"]) == ("payment", "commit", "abort")


def test_an_operators_decision_that_came_too_late_for_everybody_is_only_a_hazard():
    run = ordered(ordinary(), "abort").change("transactions", row("pay-a", "coordinator", "decided"), heuristic=True)
    result = judged(run)
    assert result.verdict is Outcome.PASS
    assert "Hazard: 1 decided by an operator" in result.explanation


def test_an_operators_decision_where_the_protocol_had_none_is_a_hazard():
    run = ordered(ordinary(), "commit", 1.01).change(
        "transactions", row("pay-a", "coordinator", "decided"), heuristic=True
    )
    result = judged(run)
    assert (result.verdict, len(result.evidence)) == (Outcome.PASS, 1)
    assert result.evidence[0]["property"] == "hazard: heuristic decision"


def test_an_operator_who_has_the_decision_told_again_is_only_noted():
    result = judged(ordered(ordered(ordinary(), "commit"), "resume", 3.0))
    assert result.verdict is Outcome.PASS
    assert {found["property"] for found in result.evidence} == {"note: an operator had the decision told again"}
    assert "Hazard" not in result.explanation


def test_a_record_closed_by_hand_is_a_hazard():
    assert judged(ordered(ordinary(), "forget")).evidence[0]["property"] == "hazard: closed by an operator"
