"""What operations lack for each of their commits: the model counts those, by playing with longer ones."""

import pytest

from scenarios.calibrate.calibrating import _in_services
from scenarios.calibrate.waiting import LONGER_S, NOTHING, of_commits
from simulator.analysis.estimates import Estimate


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


def test_refunds_tell_nothing_and_what_was_too_much_is_taken_off() -> None:
    usual, longer = {"refund.card": 0.01, "pay.card": 0.02}, {"refund.card": 0.012, "pay.card": 0.021}
    found = of_commits({"refund.card": 0.03, "pay.card": 0.0198}, usual, longer)
    assert found.value == pytest.approx(-0.0001)
    assert found.count == 1


def test_where_nothing_commits_nothing_is_known() -> None:
    assert of_commits({"goods": 0.003}, {"goods": 0.001}, {"goods": 0.001}).count == 0


def test_a_commit_in_a_service_takes_what_one_alone_does_and_what_is_missing() -> None:
    alone = Estimate(0.0003, 0.0002, 0.0004, 150)
    found = _in_services(alone, Estimate(0.0005, 0.0004, 0.0009, 4))
    assert (found.value, found.low, found.high) == pytest.approx((0.0008, 0.0007, 0.0012))
    assert found.count == 4
    assert _in_services(alone, NOTHING) == alone
    assert _in_services(alone, Estimate(-0.0005, -0.0006, -0.0001, 4)).value == 0.0, "no wait is less than none"
