"""Heuristic decisions: what operators decided where the protocol had not, or against what it had.

Damage is done where a participant applied an operator's decision that contradicts the protocol's: somebody was told
otherwise, and others may have applied the other one. Where nothing contradicts, a heuristic decision is a hazard that
went well, and having a decision told again is a note.
"""

import pandas

from scenarios.checks.result import Row, rows_of
from scenarios.checks.transactions import OUTCOME_OF_DECISION, coordinated, participated
from scenarios.history import History

HAZARD, NOTE = "hazard: heuristic decision", "note: an operator had the decision told again"
FORGOTTEN = "hazard: closed by an operator"


def damage(history: History) -> list[Row]:
    """Participants that applied an operator's decision which contradicts the protocol's."""
    orders = _orders(history)
    orders = orders[(orders["decision"] != "") & (orders["decision"] != orders["ordered"])]
    orders = orders.assign(outcome=orders["ordered"].map(OUTCOME_OF_DECISION))
    applied = participated(history)[["gid", "role", "outcome", "applied_s"]]
    columns = ["gid", "role", "decision", "ordered", "ordered_s", "outcome", "applied_s"]
    return rows_of(orders.merge(applied, on=["gid", "outcome"])[columns])


def hazards(history: History) -> list[Row]:
    """Every other order of an operator, and every transaction that is marked as heuristic and has none."""
    damaged = {row["gid"] for row in damage(history)}
    known = coordinated(history).set_index("gid")
    orders = _interventions(history)
    orders = orders[~orders["gid"].isin(damaged)]
    found = [
        {
            "gid": row["gid"], "ordered": row["value"], "decision": known["decision"].get(row["gid"], ""),
            "ordered_s": row["at_s"], "property": _word(row["value"], bool(known["heuristic"].get(row["gid"], False))),
        }
        for row in orders.to_dict("records")
    ]  # fmt: skip
    marked = known[known["heuristic"] & ~known.index.isin(_interventions(history)["gid"])]
    return found + [
        {"gid": gid, "ordered": "", "decision": row["decision"], "ordered_s": row["decided_s"], "property": HAZARD}
        for gid, row in marked.iterrows()
    ]


def _word(action: str, heuristic: bool) -> str:
    if action == "forget":
        return FORGOTTEN
    return HAZARD if heuristic and action != "resume" else NOTE


def _interventions(history: History) -> pandas.DataFrame:
    rows = history["transactions"]
    return rows[rows["event"] == "intervened"]


def _orders(history: History) -> pandas.DataFrame:
    """Orders to commit or abort: gid, ordered, ordered_s, and the protocol's decision ('' if it has none)."""
    rows = _interventions(history)
    rows = rows[rows["value"].isin(list(OUTCOME_OF_DECISION))]
    orders = rows[["gid", "value", "at_s"]].rename(columns={"value": "ordered", "at_s": "ordered_s"})
    return orders.merge(coordinated(history)[["gid", "decision"]], on="gid", how="left").fillna({"decision": ""})
