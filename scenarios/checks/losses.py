"""Who lost what: for every order, the money that was really taken beside what the order says was paid.

Money is what the channels' own books say (captured less refunded) and, for payments by balance, what the ledger took
from the customer's account. The order is what the order service says. Neither record is the coordinator's, so a payment
that everybody believes to have failed shows here all the same if the money is gone. Amounts are minor units.
"""

from typing import Any

import numpy
import pandas

from scenarios.checks.result import EVIDENCE_ROWS_MAX, Row, rows_of
from scenarios.checks.transactions import coordinated
from scenarios.history import History
from settlement.ledger import user_account

CUSTOMER, MERCHANT = "customer", "merchant"
CHARGED_UNPAID = "charged, order not paid"
CHARGED_TOO_MUCH = "charged more than once"
REFUND_KEPT = "order refunded, money not given back"
PAID_UNCHARGED = "order paid, not charged"
GIVEN_BACK = "money given back, order still paid"
CHARGED_TOO_LITTLE = "charged too little"
KIND_WORDS = {"pay": "payment", "refund": "refund"}
TOLD_WORDS = {"ok": "succeeded", "fail": "failed", "unknown": "unanswered"}
_USER_ACCOUNT = user_account(0)[:-1]


def summary(history: History) -> dict[str, Any]:
    """What `verdict.json` says of it.

    `orders` were compared, `broken` of them are wrong. `totals`: who lost how much by what, each currency by itself.
    `lost`: the same by who alone. `evidence`: the worst orders, by amount.
    """
    found = broken_orders(history)
    return {
        "orders": len(history["orders"]),
        "broken": len(found),
        "lost": _totals(found, ["who", "currency"]),
        "totals": _totals(found, ["who", "what", "currency"]),
        "evidence": rows_of(found.head(EVIDENCE_ROWS_MAX)),
    }


def broken_orders(history: History) -> pandas.DataFrame:
    """One row an order whose money is not what the order says, the greatest loss first.

    Columns: who, what, lost_minor, currency, order_no, total_minor, taken_minor, order (its status), told (what the
    client was told of the payment), method, gid (of all its payments that took money, or else of the one that paid it).
    """
    orders = history["orders"].set_index("order_no")
    money = _money(history)
    table = orders[["total_minor", "currency", "status", "paid_gid"]].join(money, how="outer")
    table["taken_minor"] = table["taken_minor"].fillna(0).astype("int64")
    table["moved_minor"] = table["moved_minor"].fillna(0).astype("int64")
    table["total_minor"] = table["total_minor"].fillna(0).astype("int64")
    table["currency"] = table["currency"].fillna(table["taken_currency"])
    table["status"] = table["status"].fillna("unknown")
    table["due_minor"] = table["total_minor"].where(table["status"].isin(["paid", "refunding"]), 0)
    table = table[table["taken_minor"] != table["due_minor"]].reset_index(names="order_no")
    table["what"] = _kinds(table)
    more = table["taken_minor"] > table["due_minor"]
    table["who"] = numpy.where(more, CUSTOMER, MERCHANT)
    table["lost_minor"] = (table["taken_minor"] - table["due_minor"]).abs()
    table["gid"] = table["gids"].where(table["gids"].notna() & (table["gids"] != ""), table["paid_gid"])
    table = table.join(_told(history), on="order_no").rename(columns={"status": "order"})
    columns = ["who", "what", "lost_minor", "currency", "order_no", "total_minor", "taken_minor", "order", "told"]
    table = table[[*columns, "method", "gid"]].fillna({"told": "", "method": "", "gid": ""})
    return table.sort_values(["lost_minor", "order_no"], ascending=[False, True], kind="stable")


def _kinds(table: pandas.DataFrame) -> Any:
    taken, due, moved, status = (table[name] for name in ("taken_minor", "due_minor", "moved_minor", "status"))
    cases = {
        CHARGED_TOO_MUCH: (taken > due) & (due > 0),
        REFUND_KEPT: (taken > due) & (status == "refunded"),
        CHARGED_UNPAID: taken > due,
        GIVEN_BACK: (taken == 0) & (moved > 0),
        PAID_UNCHARGED: taken <= 0,
    }
    return numpy.select([case.to_numpy() for case in cases.values()], list(cases), default=CHARGED_TOO_LITTLE)


def _money(history: History) -> pandas.DataFrame:
    """By order: `taken_minor` (net), `moved_minor` (ever taken), its currency, and the gids of the payments."""
    known = coordinated(history)
    asked, orders = history["payments"], history["orders"]
    order_by_key = dict(zip(asked["key"], asked["order_no"], strict=True))
    order_by_gid = dict(zip(orders["paid_gid"], orders["order_no"], strict=True))
    order_by_gid |= {
        gid: order_by_key[key] for gid, key in zip(known["gid"], known["key"], strict=True) if key in order_by_key
    }
    moved = pandas.concat([_by_channel(history), _by_balance(history)])
    moved = moved[(moved["taken_minor"] != 0) | (moved["moved_minor"] != 0)]
    moved["order_no"] = [order_by_gid.get(gid, "unknown order") for gid in moved["gid"]]
    moved = moved.merge(known[["gid", "method"]], on="gid", how="left").fillna({"method": ""})
    return moved.groupby("order_no").agg(
        taken_minor=("taken_minor", "sum"),
        moved_minor=("moved_minor", "sum"),
        taken_currency=("currency", "first"),
        method=("method", "first"),
        gids=("gid", " ".join),
    )


def _by_channel(history: History) -> pandas.DataFrame:
    charges, holds = history["charges"], history["holds"]
    payments = holds[holds["kind"] == "payment"]
    ours = dict(zip(payments["out_trade_no"], payments["gid"], strict=True))
    return pandas.DataFrame(
        {
            # A payment's number at the channel is its gid, also where no record of ours says that it was charged.
            "gid": [ours.get(number, number) for number in charges["out_trade_no"]],
            "taken_minor": charges["captured_minor"] - charges["refunded_minor"],
            "moved_minor": charges["captured_minor"],
            "currency": charges["currency"],
        }
    )


def _by_balance(history: History) -> pandas.DataFrame:
    postings, holds = history["postings"], history["holds"]
    posted = postings[(postings["layer"] == "posted") & postings["account"].str.startswith(_USER_ACCOUNT)]
    moved = posted.merge(holds[holds["method"] == "balance"][["gid", "payment_gid"]], on="gid")
    moved["taken_minor"] = -moved["amount_minor"]
    moved["moved_minor"] = moved["taken_minor"].clip(lower=0)
    moved["gid"] = moved["payment_gid"].where(moved["payment_gid"] != "", moved["gid"])
    return moved.groupby(["gid", "currency"], as_index=False)[["taken_minor", "moved_minor"]].sum()


def _told(history: History) -> pandas.Series:
    """By order: what its clients were told, payment first."""
    told = history["payments"]
    told = told[told["order_no"] != ""]
    words = told["kind"].map(KIND_WORDS) + " " + told["outcome"].map(TOLD_WORDS)
    return words.groupby(told["order_no"]).agg(", ".join).rename("told")


def _totals(found: pandas.DataFrame, key: list[str]) -> list[Row]:
    sums = found.groupby(key, as_index=False).agg(orders=("order_no", "size"), lost_minor=("lost_minor", "sum"))
    return rows_of(sums.sort_values("lost_minor", ascending=False, kind="stable"))
