"""Who lost what: every way in which money and order part, in amounts."""

from scenarios.checks import losses
from scenarios.checks.losses import (
    CHARGED_TOO_LITTLE,
    CHARGED_TOO_MUCH,
    CHARGED_UNPAID,
    GIVEN_BACK,
    PAID_UNCHARGED,
    REFUND_KEPT,
)

from .histories import AMOUNT_MINOR, Row, Run, ordinary


def only(run: Run) -> Row:
    found = losses.broken_orders(run.build())
    assert len(found) == 1, found
    row: Row = found.iloc[0].to_dict()
    return row


def order(name: str):
    return lambda row: row["order_no"] == f"order-{name}"


def charge(name: str):
    return lambda row: row["out_trade_no"] == f"t-{name}"


def test_in_a_correct_run_nobody_lost_anything():
    found = losses.summary(ordinary().build())
    assert found["orders"] > 0
    assert (found["broken"], found["lost"], found["totals"], found["evidence"]) == (0, [], [], [])


def test_charged_and_the_order_is_not_paid():
    run = Run().payment("a").payment("b").change("orders", order("a"), status="pending", paid_gid="")
    run.change("payments", order("a"), outcome="fail")
    lost = only(run)
    assert (lost["who"], lost["what"], lost["lost_minor"]) == ("customer", CHARGED_UNPAID, AMOUNT_MINOR)
    assert (lost["order_no"], lost["gid"], lost["order"]) == ("order-a", "pay-a", "pending")
    assert lost["told"] == "payment failed"


def test_a_balance_that_was_taken_counts_like_a_card():
    run = Run().payment("a", method="balance").change("orders", order("a"), status="pending", paid_gid="")
    assert (only(run)["what"], only(run)["taken_minor"]) == (CHARGED_UNPAID, AMOUNT_MINOR)


def test_a_charge_that_no_record_of_ours_knows_is_found_by_its_number():
    run = Run().payment("a", commit=False).change("charges", charge("a"), captured_minor=AMOUNT_MINOR)
    run.rows["charges"][0]["out_trade_no"], run.rows["holds"] = "pay-a", []
    assert only(run)["order_no"] == "order-a"


def test_an_order_paid_with_nothing():
    lost = only(Run().payment("a").change("charges", charge("a"), captured_minor=0))
    assert (lost["who"], lost["what"], lost["lost_minor"]) == ("merchant", PAID_UNCHARGED, AMOUNT_MINOR)
    assert lost["gid"] == "pay-a"


def test_charged_twice():
    lost = only(Run().payment("a").change("charges", charge("a"), captured_minor=2 * AMOUNT_MINOR))
    assert (lost["who"], lost["what"], lost["lost_minor"]) == ("customer", CHARGED_TOO_MUCH, AMOUNT_MINOR)


def test_charged_too_little():
    lost = only(Run().payment("a").change("charges", charge("a"), captured_minor=1))
    assert (lost["who"], lost["what"], lost["lost_minor"]) == ("merchant", CHARGED_TOO_LITTLE, AMOUNT_MINOR - 1)


def test_a_refund_that_was_not_paid_back():
    run = Run().payment("a").refund("a").change("charges", charge("a"), refunded_minor=0)
    assert (only(run)["who"], only(run)["what"]) == ("customer", REFUND_KEPT)


def test_money_given_back_for_an_order_that_is_still_paid():
    run = Run().payment("a").refund("a").change("orders", order("a"), status="paid", refund_gid="")
    assert (only(run)["who"], only(run)["what"]) == ("merchant", GIVEN_BACK)


def test_totals_are_by_party_and_by_currency_and_the_worst_orders_are_shown():
    run = Run()
    for number in range(12):
        run.payment(f"a{number}", at_s=float(number))
        run.change("orders", order(f"a{number}"), status="pending", paid_gid="")
    run.change("charges", charge("a3"), captured_minor=5_000)
    run.change("charges", charge("a4"), currency="EUR").change("orders", order("a4"), currency="EUR")
    found = losses.summary(run.build())
    assert found["broken"] == 12
    assert found["lost"] == [
        {"who": "customer", "currency": "CNY", "orders": 11, "lost_minor": 15_000},
        {"who": "customer", "currency": "EUR", "orders": 1, "lost_minor": 1_000},
    ]
    assert len(found["evidence"]) == 10
    assert found["evidence"][0]["order_no"] == "order-a3"
