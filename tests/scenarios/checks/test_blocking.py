"""Blocking: what a coordinator that is away costs, take-overs, fenced writes, inquiries, and what is held."""

import math

import pytest

from scenarios.checks import blocking, metrics

from .histories import Run


def measured(run: Run, metric: str) -> float:
    history = run.build()
    return metrics.measure(history, metric, *metrics.stretch(history, metric, None))


def taken_over(run: Run, gid: str, epoch: int = 2) -> Run:
    return run.change("transactions", lambda row: row["gid"] == gid and row["role"] == "coordinator", epoch=epoch)


def in_doubt_for(seconds: float, **options: object) -> Run:
    """Payment a votes at 1.01, is decided at 1.02, and applied so many seconds after that, by somebody else."""
    return taken_over(Run().payment("a", 1.0, doubt_s=seconds, **options), "pay-a")  # type: ignore[arg-type]


def died(run: Run, at_s: float, replica: str = "gateway-0") -> Run:
    return run.add("services", service="gateway", replica=replica, event="died", at_s=at_s)


def test_the_window_is_from_the_death_to_the_first_end_of_what_was_left() -> None:
    run = died(in_doubt_for(3.0), 1.5)
    taken_over(run.payment("b", 1.2, doubt_s=5.0), "pay-b")
    (row,) = blocking.windows(run.build())
    assert (row["replica"], row["left"]) == ("gateway-0", 2)
    assert measured(run, "blocking.window") == pytest.approx(4.02 - 1.5)


def test_a_pause_of_a_gateway_is_an_absence_too_and_that_of_another_service_is_not() -> None:
    paused = in_doubt_for(3.0).fault("pause", 1.5, 6.0)
    assert measured(paused, "blocking.window") == pytest.approx(4.02 - 1.5)
    other = in_doubt_for(3.0).fault("pause", 1.5, 6.0).change("faults", lambda row: True, target="order-0")
    assert math.isnan(measured(other, "blocking.window"))


def test_what_nobody_had_to_take_over_was_not_blocked() -> None:
    assert math.isnan(measured(died(Run().payment("a", 1.0, doubt_s=3.0), 1.5), "blocking.window"))


def test_a_window_that_never_closes_is_infinite() -> None:
    run = died(in_doubt_for(3.0), 1.5).drop("transactions", lambda row: row["event"] == "applied")
    assert measured(run, "blocking.window") == math.inf


def test_every_change_of_hands_is_counted() -> None:
    run = taken_over(taken_over(Run().payment("a").payment("b").payment("c"), "pay-a", 3), "pay-b", 2)
    taken_over(run, "pay-c", 1)
    assert measured(run, "takeovers.count") == 3


def test_fenced_writes_are_counted_and_contested_are_those_before_the_end() -> None:
    run = in_doubt_for(3.0).event("pay-a", "coordinator", "fenced", "commit", 2.0, epoch=1)
    run.event("pay-a", "coordinator", "fenced", "commit", 9.0, epoch=1)
    assert measured(run, "fenced.count") == 2
    assert measured(run, "takeovers.contested") == 1
    late = in_doubt_for(3.0).event("pay-a", "coordinator", "fenced", "commit", 9.0, epoch=1)
    assert measured(late, "takeovers.contested") == 0


def test_inquiries_are_summed_over_participants() -> None:
    run = Run().payment("a").event("pay-a", "order", "asked", "3", 1.5).event("pay-a", "payment", "asked", "1", 1.5)
    assert measured(run, "orphans.inquiries") == 4


def test_goods_are_held_by_the_order_service_and_money_by_the_payment_service() -> None:
    run = Run().payment("a", 1.0)
    run.change("transactions", lambda row: row["role"] == "payment" and row["event"] == "applied", at_s=3.01)
    assert measured(run, "lock_hold.money.max") == pytest.approx(2.0)
    assert measured(run, "lock_hold.goods.max") == pytest.approx(0.02)
    assert measured(run, "in_doubt.max") == pytest.approx(2.0)
