"""What operations lack for each of their commits: the model counts those, by playing with longer ones."""

import pytest

from scenarios.calibrate.waiting import LONGER_S, of_commits


def test_what_is_missing_is_shared_by_the_commits_that_follow_each_other() -> None:
    usual = {"goods": 0.001, "cart_put": 0.002, "order_create": 0.004, "pay.card": 0.016}
    longer = {
        "goods": 0.001,
        "cart_put": 0.002 + LONGER_S,
        "order_create": 0.004 + LONGER_S,
        "pay.card": 0.016 + 3 * LONGER_S,
    }
    real = {"goods": 0.009, "cart_put": 0.0024, "order_create": 0.0045, "pay.card": 0.0178}
    found = of_commits(real, usual, longer)
    assert (found.value, found.low, found.high) == pytest.approx((0.0005, 0.0004, 0.0006))
    assert found.count == 3, "goods do not commit"


def test_refunds_tell_nothing_and_too_slow_a_model_takes_nothing_off() -> None:
    usual, longer = {"refund.card": 0.01, "pay.card": 0.02}, {"refund.card": 0.012, "pay.card": 0.021}
    assert of_commits({"refund.card": 0.03, "pay.card": 0.015}, usual, longer).value == 0.0


def test_where_nothing_commits_nothing_is_known() -> None:
    assert of_commits({"goods": 0.003}, {"goods": 0.001}, {"goods": 0.001}).count == 0
