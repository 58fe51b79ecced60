"""Events: whatever was decided is known to the rest of the platform, once, and nothing that was never decided is.

The audit service hears of everything and takes each event once. So its trail, compared with the coordinator's record,
shows what was lost on the way (an outbox, a stream), what was told twice, and what was invented.
"""

import pandas

from scenarios.checks.result import CheckResult, Row, from_parts, rows_of
from scenarios.checks.transactions import coordinated
from scenarios.history import History

NAME = "events_delivered"
SUFFIX = {"commit": "succeeded", "abort": "failed"}


def judge(history: History) -> CheckResult:
    """Every decision of a payment or refund against the trail; a world that has no trail has nothing to judge."""
    trail = history["events"]
    trail = trail[trail["type"].isin([f"{kind}.{end}" for kind in ("payment", "refund") for end in SUFFIX.values()])]
    if not len(history["events"]):
        return from_parts(NAME, {}, "", judged=0)
    decided = coordinated(history)
    decided = decided[decided["decision"] != ""]
    found = {
        "told": untold(decided, trail),
        "told once": told_twice(trail),
        "told as decided": told_wrongly(decided, trail),
        "operators' orders told": orders_untold(history),
    }
    held = f"All {len(decided)} decisions are in the audit trail, each once; {len(history['events'])} events in all."
    return from_parts(NAME, found, held, judged=len(decided))


def orders_untold(history: History) -> list[Row]:
    """What operators ordered about a transaction, as far as the trail has fewer orders about it."""
    rows, trail = history["transactions"], history["events"]
    ordered = rows[rows["event"] == "intervened"].groupby("gid").agg(orders=("value", "size"), last=("value", "last"))
    told = trail[trail["type"] == "transaction.intervened"]["subject"].value_counts()
    ordered["told"] = told.reindex(ordered.index).fillna(0).astype(int)
    return rows_of(ordered[ordered["told"] < ordered["orders"]].reset_index())


def untold(decided: pandas.DataFrame, trail: pandas.DataFrame) -> list[Row]:
    """Decisions that nobody heard of."""
    return rows_of(decided[~decided["gid"].isin(trail["subject"])][["gid", "kind", "decision", "decided_s"]])


def told_twice(trail: pandas.DataFrame) -> list[Row]:
    """Transactions with more than one event."""
    return rows_of(trail[trail.duplicated("subject", keep=False)][["subject", "type", "event_id", "recorded_s"]])


def told_wrongly(decided: pandas.DataFrame, trail: pandas.DataFrame) -> list[Row]:
    """Events of another outcome than the decision's, or of no decision at all."""
    wanted = {
        gid: f"{kind}.{SUFFIX[decision]}"
        for gid, kind, decision in zip(decided["gid"], decided["kind"], decided["decision"], strict=True)
    }
    wrong = [wanted.get(gid) != type_ for gid, type_ in zip(trail["subject"], trail["type"], strict=True)]
    return rows_of(trail[pandas.Series(wrong, index=trail.index, dtype=bool)][["subject", "type", "recorded_s"]])
