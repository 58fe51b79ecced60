"""The check of events: a good trail passes, each way of losing, doubling or inventing an event fails."""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.checks.result import CheckResult, Outcome
from tests.scenarios.checks.histories import Run, judgement, ordinary


def judged(run: Run) -> CheckResult:
    return judgement(run, "events_delivered")


def broken(result: CheckResult) -> dict[str, int]:
    return {part.name: part.violations for part in result.parts if part.violations}


def test_a_complete_trail_passes() -> None:
    assert judged(ordinary()).verdict is Outcome.PASS


def test_a_world_without_a_trail_says_nothing() -> None:
    run = ordinary()
    del run.rows["events"]
    assert judged(run).verdict is Outcome.UNKNOWN


def test_a_lost_event_fails() -> None:
    run = ordinary().drop("events", lambda row: row["subject"] == "pay-a")
    assert broken(judged(run)) == {"told": 1}


def test_an_event_told_twice_fails() -> None:
    assert broken(judged(ordinary().heard("pay-a", "payment.succeeded"))) == {"told once": 2}


@pytest.mark.parametrize("changes", [{"type": "payment.failed"}, {"type": "refund.succeeded"}])
def test_an_event_of_another_outcome_fails(changes: dict[str, Any]) -> None:
    run = ordinary().change("events", lambda row: row["subject"] == "pay-a", **changes)
    assert broken(judged(run)) == {"told as decided": 1}


def test_an_event_that_nothing_caused_fails() -> None:
    assert broken(judged(ordinary().heard("pay-nobody", "payment.succeeded"))) == {"told as decided": 1}


def test_an_operators_order_that_the_trail_does_not_have_fails() -> None:
    run = ordinary().event("pay-a", "coordinator", "intervened", "commit", 2.0)
    assert broken(judged(run)) == {"operators' orders told": 1}
    assert judged(run.heard("pay-a", "transaction.intervened", 2.1)).verdict is Outcome.PASS
    assert broken(judged(run.event("pay-a", "coordinator", "intervened", "forget", 3.0))) == {
        "operators' orders told": 1
    }
