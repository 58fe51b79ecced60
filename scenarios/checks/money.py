"""Money conservation: nothing is made or lost, nothing stays held, and the channel's books equal ours.

It compares four independent records: the coordinator's decisions, the payment service's double-entry ledger, the
order service's orders and stock, and the channel's own charges. In the ledger, what a user owns is positive, and what a
channel took for us and owes us is negative.
"""

import numpy
import pandas

from scenarios.checks.result import CheckResult, Row, from_parts, rows_of
from scenarios.checks.transactions import coordinated
from scenarios.history import History

NAME = "money_conserved"
ENTRY = ["gid", "currency", "layer"]
UNPAID = ("pending", "cancelled")


def judge(history: History) -> CheckResult:
    """All properties, on every posting, order, unit of stock and charge."""
    found = {
        "entries sum to zero": unbalanced(history),
        "booked as decided": misbooked(history),
        "nothing held at the end": leaked(history),
        "orders agree": orders_disagreeing(history),
        "stock adds up": stock_wrong(history),
        "channel's books equal ours": channel_differs(history),
        "no account overdrawn": overdrawn(history),
    }
    postings, charges = history["postings"], history["charges"]
    currencies = ", ".join(sorted(postings["currency"].unique())) or "no currency"
    held = (
        f"{len(postings)} postings in {currencies} sum to zero; {len(charges)} charges of the channel equal our ledger."
    )
    return from_parts(NAME, found, held, judged=len(postings) + len(charges) + len(history["orders"]))


def unbalanced(history: History) -> list[Row]:
    """Entries (one transaction, currency and layer) whose postings do not sum to zero."""
    sums = history["postings"].groupby(ENTRY, sort=False)["amount_minor"].sum()
    return rows_of(sums[sums != 0].rename("sum_minor").reset_index())


def misbooked(history: History) -> list[Row]:
    """Committed transactions that did not move exactly their amount, and others that moved anything."""
    postings = history["postings"]
    posted = postings[postings["layer"] == "posted"]
    net = (
        posted.groupby(["gid", "currency", "account"])["amount_minor"]
        .sum()
        .clip(lower=0)
        .groupby(["gid", "currency"])
        .sum()
    )
    both = coordinated(history).merge(net.rename("moved_minor").reset_index(), on=["gid", "currency"], how="left")
    both["moved_minor"] = both["moved_minor"].fillna(0).astype("int64")
    both["expected_minor"] = both["amount_minor"].where(both["decision"] == "commit", 0)
    wrong = both[both["moved_minor"] != both["expected_minor"]]
    return rows_of(wrong[["gid", "kind", "method", "decision", "expected_minor", "moved_minor", "currency"]])


def leaked(history: History) -> list[Row]:
    """What is still reserved when the run has ended: held money, stock, orders in a transaction, authorizations."""
    postings, stock, orders, charges = (history[name] for name in ("postings", "stock", "orders", "charges"))
    pending = postings[postings["layer"] == "pending"].groupby(["gid", "account", "currency"])["amount_minor"].sum()
    held = pending[pending != 0].rename("held_minor").reset_index()
    reserved = stock[stock["reserved_units"] != 0][["goods_id", "reserved_units"]]
    busy = orders[orders["status"].isin(["paying", "refunding"])][["order_no", "status"]]
    authorized = charges[charges["state"] == "authorized"][["channel", "out_trade_no", "authorized_minor"]]
    return [
        *rows_of(held.assign(problem="money held")),
        *rows_of(reserved.assign(problem="stock reserved")),
        *rows_of(busy.assign(problem="order held by a transaction")),
        *rows_of(authorized.assign(problem="authorized at the channel, neither captured nor voided")),
    ]


def orders_disagreeing(history: History) -> list[Row]:
    """Orders whose status is not what their transactions say, or that were paid another amount than their total."""
    known = coordinated(history).set_index("gid")
    commits = known[known["decision"] == "commit"]
    orders = history["orders"]
    paid, refunded = orders["paid_gid"].isin(commits.index), orders["refund_gid"].isin(commits.index)
    expected = numpy.select([refunded, paid], ["refunded", "paid"], default="unpaid")
    actual = orders["status"].where(~orders["status"].isin(UNPAID), "unpaid")
    settled = ~orders["status"].isin(["paying", "refunding"])
    wrong = orders[settled & (actual != expected)].assign(problem="status is not what its transactions say")
    amount = orders["paid_gid"].map(commits["amount_minor"])
    other = orders[amount.notna() & (amount != orders["total_minor"])].assign(problem="paid another amount")
    columns = ["order_no", "status", "total_minor", "paid_gid", "refund_gid", "problem"]
    return [*rows_of(wrong[columns]), *rows_of(other[columns]), *_without_order(orders, commits)]


def _without_order(orders: pandas.DataFrame, committed: pandas.DataFrame) -> list[Row]:
    found = []
    for kind, column in (("payment", "paid_gid"), ("refund", "refund_gid")):
        times = orders[orders[column] != ""][column].value_counts()
        of_kind = committed[committed["kind"] == kind]
        counted = times.reindex(of_kind.index, fill_value=0)
        rows = of_kind[(counted != 1).to_numpy()].reset_index()[["gid", "kind", "amount_minor"]]
        found += rows_of(
            rows.assign(orders=counted[counted != 1].to_numpy(), problem="not the transaction of one order")
        )
    return found


def stock_wrong(history: History) -> list[Row]:
    """Goods of which available, reserved and sold units are not all the units there were, or are below zero."""
    stock = history["stock"]
    parts = stock[["available_units", "reserved_units", "sold_units"]]
    return rows_of(stock[(parts.sum(axis="columns") != stock["initial_units"]) | (parts < 0).any(axis="columns")])


def channel_differs(history: History) -> list[Row]:
    """Trade numbers whose money at the channel is not what our ledger posted, or what the decisions say."""
    books = _books(history)
    ledger = books[books["ours_minor"] != books["channel_minor"]].assign(problem="ledger and channel differ")
    decided = books[books["decided_minor"] != books["channel_minor"]].assign(problem="decisions and channel differ")
    return [*rows_of(ledger), *rows_of(decided)]


def _books(history: History) -> pandas.DataFrame:
    """One row a (channel, out_trade_no, currency): minor units at the channel, in our ledger, by the decisions."""
    key = ["channel", "out_trade_no", "currency"]
    charges = history["charges"]
    theirs = charges.assign(channel_minor=charges["captured_minor"] - charges["refunded_minor"])
    holds = history["holds"]
    holds = holds[(holds["channel"] != "") & (holds["out_trade_no"] != "")]
    holds = holds.merge(coordinated(history)[["gid", "decision"]], on="gid", how="left")
    signed = holds["amount_minor"].where(holds["kind"] != "refund", -holds["amount_minor"])
    holds["decided_minor"] = signed.where(holds["decision"] == "commit", 0)
    holds["ours_minor"] = -_posted_at_channel(history, holds)
    ours = holds.groupby(key)[["ours_minor", "decided_minor"]].sum()
    books = ours.join(theirs.groupby(key)["channel_minor"].sum(), how="outer").fillna(0).astype("int64")
    return books.reset_index()


def _posted_at_channel(history: History, holds: pandas.DataFrame) -> pandas.Series:
    postings = history["postings"]
    posted = postings[postings["layer"] == "posted"].groupby(["gid", "account"])["amount_minor"].sum()
    wanted = pandas.MultiIndex.from_arrays([holds["gid"], "channel:" + holds["channel"].astype(str)])
    return pandas.Series(posted.reindex(wanted).fillna(0).to_numpy(), index=holds.index)


def overdrawn(history: History) -> list[Row]:
    """Users who ended below zero."""
    postings = history["postings"]
    users = postings[postings["account"].str.startswith("user:") & (postings["layer"] == "posted")]
    balances = users.groupby(["account", "currency"])["amount_minor"].sum()
    return rows_of(balances[balances < 0].rename("balance_minor").reset_index())
