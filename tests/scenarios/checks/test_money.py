"""Money conservation: every way to make, lose or keep money is noticed."""

import pytest

from scenarios.checks.result import CheckResult, Outcome

from .histories import Row, Run, judgement, ordinary


def judged(run: Run) -> CheckResult:
    return judgement(run, "money_conserved")


def broken(run: Run) -> set[str]:
    result = judged(run)
    assert result.verdict is Outcome.FAIL
    assert result.evidence
    return {part.name for part in result.parts if part.violations}


def posting(gid: str, account: str, layer: str = "posted"):
    return lambda row: (row["gid"], row["account"], row["layer"]) == (gid, account, layer)


def order(name: str):
    return lambda row: row["order_no"] == f"order-{name}"


def charge(name: str):
    return lambda row: row["out_trade_no"] == f"t-{name}"


def test_a_correct_history_passes():
    assert judged(ordinary()).verdict is Outcome.PASS


def test_money_paid_out_to_a_merchant_is_still_there():
    run = ordinary()
    moves = {"merchant:settlement": -2_000, "merchant:payable:1": 1_988, "income:fees": 12}
    for account, amount_minor in moves.items():
        run.add("postings", posting_id=account, gid="2026-01-01.CNY.1", account=account, currency="CNY",
                amount_minor=amount_minor, layer="posted", posted_s=9.0)  # fmt: skip
    assert judged(run).verdict is Outcome.PASS
    run.drop("postings", lambda row: row["account"] == "income:fees")
    assert broken(run) == {"entries sum to zero"}


def test_one_cent_made():
    run = ordinary().change("postings", posting("pay-a", "merchant:settlement"), amount_minor=1_001)
    assert {"entries sum to zero", "booked as decided"} <= broken(run)


def test_layers_and_currencies_balance_on_their_own():
    run = ordinary().change("postings", posting("pay-a", "merchant:settlement"), currency="EUR")
    assert "entries sum to zero" in broken(run)


def test_a_commit_that_was_never_booked():
    run = ordinary().drop("postings", lambda row: row["gid"] == "pay-c" and row["layer"] == "posted")
    assert broken(run) == {"booked as decided"}


def test_an_abort_that_was_booked():
    run = ordinary()
    for account, amount_minor in (("user:1", -1_000), ("merchant:settlement", 1_000)):
        run.add("postings", posting_id="x", gid="pay-d", account=account, currency="CNY", amount_minor=amount_minor,
                layer="posted", posted_s=4.0)  # fmt: skip
    assert broken(run) == {"booked as decided"}


def test_a_hold_that_is_left_over():
    reversal = ordinary().rows["postings"]
    last = [row["posting_id"] for row in reversal if row["gid"] == "pay-d"][2:]
    run = ordinary().drop("postings", lambda row: row["posting_id"] in last)
    assert broken(run) == {"nothing held at the end"}


def test_stock_that_is_left_reserved():
    run = ordinary().change("stock", lambda row: True, reserved_units=1, available_units=95)
    assert broken(run) == {"nothing held at the end"}


@pytest.mark.parametrize("status", ["paying", "refunding"])
def test_an_order_that_is_left_in_a_transaction(status: str):
    assert broken(ordinary().change("orders", order("a"), status=status)) == {"nothing held at the end"}


def test_an_authorization_that_is_neither_captured_nor_voided():
    assert broken(ordinary().change("charges", charge("d"), state="authorized")) == {"nothing held at the end"}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("a", {"status": "pending"}),
        ("a", {"paid_gid": ""}),
        ("d", {"status": "paid"}),
        ("f", {"status": "paid"}),
        ("a", {"status": "refunded"}),
        ("a", {"total_minor": 5}),
    ],
)
def test_an_order_that_contradicts_its_transactions(name: str, change: Row):
    assert broken(ordinary().change("orders", order(name), **change)) == {"orders agree"}


def test_units_of_stock_that_vanish():
    assert broken(ordinary().change("stock", lambda row: True, available_units=90)) == {"stock adds up"}


def test_stock_below_zero():
    run = ordinary().change("stock", lambda row: True, available_units=-1, sold_units=101)
    assert broken(run) == {"stock adds up"}


def test_charged_at_the_channel_and_not_in_our_books():
    run = ordinary().change("charges", charge("d"), state="captured", captured_minor=1_000)
    assert broken(run) == {"channel's books equal ours"}


def test_in_our_books_and_not_charged_at_the_channel():
    assert broken(ordinary().drop("charges", charge("a"))) == {"channel's books equal ours"}


def test_a_refund_that_never_reached_the_channel():
    run = ordinary().change("charges", charge("f"), state="captured", refunded_minor=0)
    assert broken(run) == {"channel's books equal ours"}


def test_a_charge_that_we_know_nothing_of():
    run = ordinary()
    run.add("charges", **{**run.rows["charges"][0], "out_trade_no": "t-stranger"})
    assert broken(run) == {"channel's books equal ours"}


def test_a_user_below_zero():
    run = ordinary().change("postings", posting("grant-1", "user:1"), amount_minor=500)
    run.change("postings", posting("grant-1", "equity:grants"), amount_minor=-500)
    assert broken(run) == {"no account overdrawn"}
