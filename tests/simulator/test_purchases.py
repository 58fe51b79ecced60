"""Clients who get in each other's way: whoever shares an order, an account or a key gets one consistent answer."""

from dataclasses import replace

import pytest

from simulator.inputs import Attempt, Purchase
from simulator.model import simulate
from simulator.storm import weather


@pytest.fixture
def buying(platform):
    def make(*purchases, faults=(), **settings):
        plan = platform(*faults, journeys=("browse",), rate_per_s=0.001, load_s=4, **settings)
        return replace(plan, purchases=purchases)

    return make


def _purchase(key, *attempts, user=1, at_s=0.1, goods=1):
    return Purchase(key, at_s, user, goods, 1, attempts)


def test_two_payments_of_one_order_at_once_charge_it_once(buying, assert_at_rest):
    rivals = (Attempt("a", "pay", 0.0, "card"), Attempt("b", "pay", 0.0, "wallet"))
    tables = simulate(buying(_purchase("p1", *rivals)))
    assert_at_rest(tables)
    told = tables["payments"].set_index("key")
    assert sorted(told.outcome) == ["fail", "ok"]
    assert "order_not_payable" in set(told.error)


def test_one_key_from_two_places_is_one_payment(buying, assert_at_rest):
    twins = (Attempt("a", "pay", 0.0, "card"), Attempt("a", "pay", 0.0, "card"))
    tables = simulate(buying(_purchase("p1", *twins)))
    told = tables["payments"]
    assert list(told.outcome) == ["ok", "ok"]
    assert told.gid.nunique() == 1
    assert (tables["charges"].state == "captured").sum() == 1


def test_two_refunds_of_one_payment_give_it_back_once(buying, assert_at_rest):
    attempts = (Attempt("a", "pay", 0.0, "card"), Attempt("r", "refund", 0.0), Attempt("s", "refund", 0.0))
    tables = simulate(buying(_purchase("p1", *attempts)))
    assert_at_rest(tables)
    refunds = tables["payments"].query("kind == 'refund'")
    assert sorted(refunds.outcome) == ["fail", "ok"]
    assert list(tables["orders"].status) == ["refunded"]


def test_one_account_is_never_overdrawn_by_two_orders(buying, assert_at_rest):
    both = [_purchase(f"p{n}", Attempt(f"{n}", "pay", 0.0, "balance"), goods=n, at_s=0.1 * n) for n in (1, 2)]
    tables = simulate(buying(*both, payment__opening_balance_minor=9_000))
    assert_at_rest(tables)
    assert sorted(tables["payments"].outcome) == ["fail", "ok"]
    assert "insufficient_funds" in set(tables["payments"].error)


def test_a_storm_that_is_over_leaves_nothing_open(buying, fault):
    died = fault("kill", 0.12, 1, service="gateway", replica=0, restart_after_s=1.0)
    plan = buying(_purchase("p1", Attempt("a", "pay", 0.0, "card")), faults=(died,))
    aftermath = weather(plan, calm_s=3.0, settle_s_max=30)
    assert aftermath.unsettled == ()
    assert aftermath.settled_s is not None
    assert [row["outcome"] for row in aftermath.rows["payments"]] == ["fail"], "undecided when it died: abort"
    assert aftermath.sightings["own_recoveries"] == 1
    assert aftermath.sightings["coordinator.decided.reply.after"] == 1


def test_what_never_comes_to_an_end_is_named(buying, fault):
    gone = fault("kill", 0.12, 1, service="gateway", replica=0, restart_after_s=1_000.0)
    plan = buying(_purchase("p1", Attempt("a", "pay", 0.0, "card")), faults=(gone,))
    aftermath = weather(plan, calm_s=3.0, settle_s_max=5)
    assert aftermath.settled_s is None
    assert "the client of p1 has not been told" in aftermath.unsettled


def test_code_that_breaks_ends_the_run_with_its_error(buying, monkeypatch):
    def broken(*_):
        raise AssertionError("no such order")

    monkeypatch.setattr("simulator.orders.OrderBusiness._reserve", broken)
    aftermath = weather(buying(_purchase("p1", Attempt("a", "pay", 0.0, "card"))), calm_s=3.0, settle_s_max=5)
    assert aftermath.error == "AssertionError: no such order"
