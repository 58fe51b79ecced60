"""Client truth: what a client was told is what happened, and nobody is charged twice.

A client was told ok: the transaction is committed. Told fail: it never is. Not told (unknown): the platform's record
says which, and no record at all means it never began. One idempotency key moves money at most once, at the platform
and at the channel.
"""

import pandas

from scenarios.checks.result import CheckResult, Row, from_parts, rows_of
from scenarios.checks.transactions import committed, coordinated
from scenarios.history import History

NAME = "client_truth"
TOLD = ["operation", "kind", "key", "gid", "order_no", "amount_minor", "ended_s", "error"]


def judge(history: History) -> CheckResult:
    """All properties, on every money operation of the clients."""
    told = history["payments"]
    found = {
        "told ok is committed": ok_not_committed(history),
        "told fail never commits": fail_committed(history),
        "one transaction a key": committed_twice(history),
        "one charge a key": charged_twice(history),
        "every unknown resolved": unresolved(history),
    }
    counts = {outcome: int((told["outcome"] == outcome).sum()) for outcome in ("ok", "fail", "unknown")}
    held = (
        f"{counts['ok']} operations told ok are committed, {counts['fail']} told fail are not, "
        f"and all {counts['unknown']} unknown ones have a definite outcome."
    )
    return from_parts(NAME, found, held, judged=len(told))


def ok_not_committed(history: History) -> list[Row]:
    """Operations told ok whose transaction is not committed, or not under the client's own key."""
    told = history["payments"]
    told = told[told["outcome"] == "ok"]
    commits = committed(history)
    known = set(zip(commits["gid"], commits["key"], strict=True))
    keys = set(commits["key"])
    true = [
        (gid, key) in known or (gid == "" and key in keys) for gid, key in zip(told["gid"], told["key"], strict=True)
    ]
    return rows_of(told[~pandas.Series(true, index=told.index, dtype=bool)][TOLD])


def fail_committed(history: History) -> list[Row]:
    """Operations told fail of which some transaction committed all the same."""
    told = history["payments"]
    told = told[told["outcome"] == "fail"]
    commits = committed(history)
    wrong = told["key"].isin(commits["key"]) | ((told["gid"] != "") & told["gid"].isin(commits["gid"]))
    return rows_of(told[wrong][TOLD])


def committed_twice(history: History) -> list[Row]:
    """Idempotency keys with more than one committed transaction, and operations whose client used one key twice."""
    commits = committed(history)
    commits = commits[commits["key"] != ""]
    twice = commits[commits.duplicated("key", keep=False)].sort_values("key")
    return rows_of(twice[["key", "gid", "kind", "amount_minor", "decided_s"]])


def charged_twice(history: History) -> list[Row]:
    """Keys for which the channel took money more than once, or more than was asked for."""
    asked = coordinated(history)[["gid", "key", "amount_minor"]]
    holds = history["holds"][["gid", "kind", "channel", "out_trade_no"]]
    holds = holds[holds["kind"] == "payment"].merge(asked, on="gid")
    taken = holds.merge(history["charges"].drop(columns="currency"), on=["channel", "out_trade_no"])
    taken = taken[(taken["captured_minor"] > 0) & (taken["key"] != "")]
    kept = taken["captured_minor"] > taken["refunded_minor"]
    twice = taken[kept][taken[kept].duplicated("key", keep=False)]
    more = taken[taken["captured_minor"] > taken["amount_minor"]]
    columns = ["key", "gid", "out_trade_no", "amount_minor", "captured_minor", "refunded_minor"]
    return [
        *rows_of(twice[columns].assign(problem="charged twice")),
        *rows_of(more[columns].assign(problem="charged too much")),
    ]


def unresolved(history: History) -> list[Row]:
    """Unknown operations of which the platform itself does not know how they ended."""
    told = history["payments"]
    told = told[told["outcome"] == "unknown"]
    known = coordinated(history)
    undecided = known[known["decision"] == ""]
    wrong = told["key"].isin(undecided["key"]) | ((told["gid"] != "") & told["gid"].isin(undecided["gid"]))
    # A gid that the client was told and the platform has no record of is a lost transaction, not one that never began.
    lost = (told["gid"] != "") & ~told["gid"].isin(known["gid"])
    return rows_of(told[wrong | lost][TOLD])
