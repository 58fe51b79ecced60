"""What `expect` can say, and of which protocol."""

import pytest

from scenarios.expectations import Expectation, ExpectationError, parse
from scenarios.thresholds import Threshold, ThresholdError


@pytest.mark.parametrize(
    ("text", "check", "negated", "under"),
    [
        ("atomic", "atomic", False, None),
        ("not atomic", "atomic", True, None),
        ("  not   money_conserved  under  article ", "money_conserved", True, "article"),
        ("client_truth under two_phase", "client_truth", False, "two_phase"),
    ],
)
def test_checks_may_be_negated_and_asked_of_one_protocol(
    text: str, check: str, negated: bool, under: str | None
) -> None:
    found = parse(text)
    assert (found.check, found.negated, found.under) == (check, negated, under)
    assert found.text == " ".join(text.split())
    assert found.name == ("not " if negated else "") + check


def test_a_threshold_may_be_asked_of_one_protocol() -> None:
    found = parse("latency.pay.p99 < 800ms during baseline for 5s under article")
    assert isinstance(found.check, Threshold)
    assert (found.check.value, found.check.during, found.check.sustained_s, found.under) == (
        0.8,
        "baseline",
        5.0,
        "article",
    )
    assert found.name == "latency.pay.p99 < 800ms during baseline for 5s"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not", "unknown expectation 'not'"),
        ("not atomc", "unknown expectation 'atomc'; did you mean atomic?"),
        ("not in_doubt.max < 1s", "cannot be negated, for a threshold has its opposite"),
        ("not not atomic", "negated twice"),
        ("atomic under", "is not a threshold"),
        ("atomic under saga", "unknown protocol 'saga'; expected one of two_phase, article"),
        ("atomic under article under article", "is not a threshold"),
        ("in_doubt.max < 1 parsec under article", "does not fit in_doubt.max"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises((ExpectationError, ThresholdError), match=words):
        parse(text)


def test_two_meet_if_one_protocol_is_asked_both() -> None:
    both, article, honest = Expectation("", "atomic"), parse("atomic under article"), parse("atomic under two_phase")
    assert both.meets(article)
    assert honest.meets(both)
    assert not article.meets(honest)
    assert article.is_asked_of("article")
    assert not article.is_asked_of("two_phase")
