"""A violation that is expected: found it passes, not found it fails, and the verdict says which it was."""

from scenarios.checks import Verdict, check
from scenarios.checks.result import Outcome

from .histories import Run, ordinary


def broken() -> Run:
    """One payment of which payment says committed and the order aborted."""
    run = ordinary()
    return run.change(
        "transactions",
        lambda row: (row["gid"], row["role"], row["event"]) == ("pay-a", "order", "applied"),
        value="aborted",
    )


def test_a_violation_that_was_expected_and_found_passes():
    result = check(broken().build(), ["not atomic"]).checks[0]
    assert (result.name, result.verdict, result.negated) == ("not atomic", Outcome.PASS, True)
    assert result.explanation.startswith("As expected, it is violated. Broken: AC1 agreement")
    assert result.threshold == ">= 1 violation"
    assert result.evidence


def test_a_violation_that_was_expected_and_is_not_there_fails_the_run():
    verdict = check(ordinary().build(), ["not atomic"])
    assert verdict.verdict is Outcome.FAIL
    assert verdict.checks[0].explanation.startswith("A violation was expected, and there is none.")


def test_what_cannot_be_judged_stays_unknown():
    empty = Run().build()
    assert check(empty, ["not atomic"]).checks[0].verdict is Outcome.UNKNOWN


def test_what_another_protocol_is_asked_is_not_judged_but_named():
    asked = ["not atomic under article", "atomic under two_phase"]
    verdict = check(ordinary().build(), asked)
    assert [result.name for result in verdict.checks][:1] == ["atomic"]
    assert verdict.not_asked == ("not atomic under article",)
    run = broken()
    run.protocol = "article"
    verdict = check(run.build(), asked)
    assert [result.name for result in verdict.checks][:1] == ["not atomic"]
    assert verdict.not_asked == ("atomic under two_phase",)
    assert Verdict.from_dict(verdict.to_dict()) == verdict


def test_a_verdict_of_an_earlier_version_can_be_read():
    document = check(ordinary().build(), ["atomic"]).to_dict()
    del document["losses"], document["not_asked"]
    for result in document["checks"]:
        del result["negated"]
    assert Verdict.from_dict(document).verdict is Outcome.PASS


def test_only_the_article_may_apply_before_it_has_decided():
    run = ordinary().change(
        "transactions",
        lambda row: (row["gid"], row["role"], row["event"]) == ("pay-a", "coordinator", "decided"),
        at_s=9.0,
    )
    assert check(run.build(), ["atomic"]).verdict is Outcome.FAIL
    run.protocol = "article"
    assert check(run.build(), ["atomic"]).verdict is Outcome.PASS
