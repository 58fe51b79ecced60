"""Client truth: what a client was told is what happened."""

from scenarios.checks.result import CheckResult, Outcome

from .histories import Run, judgement, ordinary


def judged(run: Run) -> CheckResult:
    return judgement(run, "client_truth")


def broken(run: Run) -> set[str]:
    result = judged(run)
    assert result.verdict is Outcome.FAIL
    assert result.evidence
    return {part.name for part in result.parts if part.violations}


def told(name: str):
    return lambda row: row["key"] == f"{name}-pay"


def decided(name: str):
    return lambda row: row["gid"] == f"pay-{name}" and row["event"] == "decided"


def test_a_correct_history_passes():
    result = judged(ordinary())
    assert result.verdict is Outcome.PASS
    assert "5 operations told ok are committed, 1 told fail are not" in result.explanation


def test_told_ok_and_aborted():
    assert broken(ordinary().change("payments", told("d"), outcome="ok")) == {"told ok is committed"}


def test_told_ok_and_undecided():
    assert broken(ordinary().drop("transactions", decided("a"))) == {"told ok is committed"}


def test_told_ok_for_somebody_elses_transaction():
    assert broken(ordinary().change("payments", told("a"), gid="pay-b")) == {"told ok is committed"}


def test_told_fail_and_committed():
    assert broken(ordinary().change("payments", told("a"), outcome="fail")) == {"told fail never commits"}


def test_told_fail_without_a_gid_and_committed():
    assert broken(ordinary().change("payments", told("a"), outcome="fail", gid="")) == {"told fail never commits"}


def test_one_key_commits_twice():
    run = ordinary().change("transactions", lambda row: row["gid"] == "pay-c", key="a-pay")
    assert "one transaction a key" in broken(run)


def test_one_key_is_charged_twice_though_one_transaction_aborted():
    run = ordinary().change("transactions", lambda row: row["gid"] == "pay-d", key="a-pay")
    run.change("payments", told("d"), outcome="unknown", gid="")
    run.change("charges", lambda row: row["out_trade_no"] == "t-d", captured_minor=1_000)
    assert broken(run) == {"one charge a key"}


def test_a_charge_that_was_given_back_is_no_second_charge():
    run = ordinary().change("transactions", lambda row: row["gid"] == "pay-d", key="a-pay")
    run.change("payments", told("d"), outcome="unknown", gid="")
    run.change("charges", lambda row: row["out_trade_no"] == "t-d", captured_minor=1_000, refunded_minor=1_000)
    assert judged(run).verdict is Outcome.PASS


def test_charged_more_than_asked_for():
    run = ordinary().change("charges", lambda row: row["out_trade_no"] == "t-a", captured_minor=2_000)
    assert broken(run) == {"one charge a key"}


def test_an_unknown_that_the_platform_cannot_resolve():
    assert broken(ordinary().drop("transactions", decided("e"))) == {"every unknown resolved"}


def test_an_unknown_whose_transaction_was_lost():
    run = ordinary().change("payments", told("e"), gid="pay-lost")
    assert broken(run) == {"every unknown resolved"}


def test_an_unknown_that_never_began_is_resolved():
    run = ordinary().change("payments", told("e"), key="nobody-pay")
    assert judged(run).verdict is Outcome.PASS


def test_nobody_paid():
    assert judged(Run().request("look", 1.0)).verdict is Outcome.UNKNOWN
