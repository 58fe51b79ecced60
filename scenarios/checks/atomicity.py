"""Atomicity: the five properties of an atomic commitment (Bernstein, Hadzilacos and Goodman, chapter 7).

AC1 agreement: all participants that reached an outcome reached the same one, and it is what the coordinator decided
(no decision at all means abort: presumed abort). AC2 stability: no outcome, decision or vote is ever reversed.
AC3 validity: a commit needs a yes of every participant, given before, and a client who asked for that money.
AC4 non-triviality: without a fault and with every vote a yes it commits; and some payment of the run did commit.
AC5 termination: at the end nothing is undecided, in doubt, unacknowledged or given up.

Heuristic decisions (an operator's) break nothing by themselves; they are counted and shown as a hazard. One that a
participant applied against the protocol's decision is heuristic damage, and a violation.
"""

import pandas

from scenarios.checks import heuristics
from scenarios.checks.result import CheckResult, Row, from_parts, rows_of, spread
from scenarios.checks.transactions import OUTCOME_OF_DECISION, PARTICIPANTS, coordinated, overlaps_fault, participated
from scenarios.history import History
from settlement.protocol.shipped import ARTICLE
from settlement.settings import SETTINGS

NAME = "atomic"
GIVEN_UP = "given up: retries exhausted"
CLOCK_TOLERANCE_S = 0.005
"""Coordinator and participants are processes of one host that round their clocks to milliseconds."""


def judge(history: History) -> CheckResult:
    """All five properties, on every transaction of the run."""
    known = coordinated(history)
    found = {
        "AC1 agreement": agreement(history),
        "AC2 stability": stability(history),
        "AC3 validity": validity(history),
        "AC4 non-triviality": non_triviality(history),
        "AC5 termination": termination(history),
        "no heuristic damage": heuristics.damage(history),
    }
    commits, aborts = (int((known["decision"] == word).sum()) for word in ("commit", "abort"))
    held = f"All {len(known)} transactions ended the same everywhere: {commits} committed, {aborts} aborted."
    result = from_parts(NAME, found, held, judged=len(known) + len(history["payments"]))
    return _with_hazards(result, heuristics.hazards(history))


def _with_hazards(result: CheckResult, hazards: list[Row]) -> CheckResult:
    if not hazards:
        return result
    evidence = spread([*result.evidence, *hazards], "property")
    count = len({row["gid"] for row in hazards if row["property"] == heuristics.HAZARD})
    said = f" Hazard: {count} decided by an operator, not by the protocol." if count else ""
    return CheckResult(**{**vars(result), "evidence": evidence, "explanation": result.explanation + said})


def agreement(history: History) -> list[Row]:
    """AC1: participants whose outcome is not the coordinator's decision, or not that of the other participant."""
    both = participated(history).merge(coordinated(history)[["gid", "decision"]], on="gid", how="left")
    both = both[both["outcome"] != ""]
    decided = both["decision"].fillna("").map(OUTCOME_OF_DECISION)
    # Without a decision only aborted is right: no record means abort, and a participant may abort before its vote.
    against = both["outcome"] != decided.fillna("aborted")
    split = both.groupby("gid")["outcome"].transform("nunique") > 1
    return rows_of(both[against | split][["gid", "role", "outcome", "decision", "applied_s"]])


def stability(history: History) -> list[Row]:
    """AC2: a role that at different times recorded different decisions, outcomes or votes for one transaction."""
    rows = history["transactions"]
    rows = rows[rows["event"].isin(["decided", "applied", "vote"])].sort_values("at_s", kind="stable")
    about = rows.groupby(["gid", "role", "event"], sort=False)["value"]
    changed = rows[about.transform("nunique") > 1].groupby(["gid", "role", "event"], sort=False)["value"]
    return rows_of(changed.agg(" then ".join).rename("recorded").reset_index())


def validity(history: History) -> list[Row]:
    """AC3: commits without every participant's yes, decided before a vote, applied before decided, or not asked for."""
    commits = coordinated(history)
    commits = commits[commits["decision"] == "commit"]
    return [*_without_vote(history, commits), *_too_early(history, commits), *_not_asked_for(history, commits)]


def _without_vote(history: History, commits: pandas.DataFrame) -> list[Row]:
    votes = history["transactions"]
    votes = votes[votes["event"] == "vote"]
    never_no = votes.groupby(["gid", "role"])["value"].agg(lambda values: set(values) == {"yes"})
    agreed = never_no[never_no].index
    return [
        {"gid": gid, "role": role, "problem": "committed without its yes"}
        for gid in commits["gid"]
        for role in PARTICIPANTS
        if (gid, role) not in agreed
    ]


def _too_early(history: History, commits: pandas.DataFrame) -> list[Row]:
    both = participated(history).merge(commits[["gid", "decided_s"]], on="gid")
    before_vote = (both["vote"] == "yes") & (both["decided_s"] < both["voted_s"] - CLOCK_TOLERANCE_S)
    before_decision = (both["outcome"] == "committed") & (both["applied_s"] < both["decided_s"] - CLOCK_TOLERANCE_S)
    columns = ["gid", "role", "voted_s", "decided_s", "applied_s"]
    if history.plan.platform.protocol == ARTICLE:
        # It has no decision before the outcome: that is its design, and what comes of it is for AC1 to say.
        before_decision &= False
    return [
        *rows_of(both[before_vote][columns].assign(problem="decided before the vote")),
        *rows_of(both[before_decision][columns].assign(problem="applied before the decision was durable")),
    ]


def _not_asked_for(history: History, commits: pandas.DataFrame) -> list[Row]:
    kinds = history["payments"]["kind"].replace({"pay": "payment"})
    asked = history["payments"].assign(kind=kinds)[["key", "kind", "amount_minor", "currency"]].drop_duplicates("key")
    both = commits.merge(asked, on="key", how="left", suffixes=("", "_asked"))
    nobody = both["kind_asked"].isna()
    same = (both["kind"] == both["kind_asked"]) & (both["currency"] == both["currency_asked"])
    other = ~nobody & ~(same & (both["amount_minor"] == both["amount_minor_asked"]))
    columns = ["gid", "key", "kind", "amount_minor", "currency"]
    return [
        *rows_of(both[nobody][columns].assign(problem="no client asked for it")),
        *rows_of(
            both[other][[*columns, "amount_minor_asked", "currency_asked"]].assign(
                problem="not what the client asked for"
            )
        ),
    ]


def non_triviality(history: History) -> list[Row]:
    """AC4: aborts without a reason, and a run in which clients paid and nothing ever committed.

    A timeout is a failure too, so an abort counts only if it came before the prepare timeout had run out.
    """
    timeout_s = prepare_timeout_s(history)
    known = coordinated(history)
    aborts = known[known["decision"] == "abort"].merge(_last_yes(history), on="gid")
    calm = ~overlaps_fault(history, aborts["begun_s"], aborts["decided_s"], grace_s=timeout_s)
    in_time = (aborts["decided_s"] - aborts["begun_s"]) < timeout_s - CLOCK_TOLERANCE_S
    all_yes = aborts["last_yes_s"] < aborts["decided_s"] - CLOCK_TOLERANCE_S
    found = rows_of(aborts[calm & in_time & all_yes][["gid", "kind", "begun_s", "last_yes_s", "decided_s"]])
    if len(history["payments"]) and not (known["decision"] == "commit").any():
        found.append({"problem": "no transaction of the run committed", "transactions": len(known)})
    return found


def _last_yes(history: History) -> pandas.DataFrame:
    votes = participated(history)
    votes = (
        votes[(votes["vote"] == "yes") & votes["role"].isin(PARTICIPANTS)]
        .groupby("gid")["voted_s"]
        .agg(["size", "max"])
    )
    return votes[votes["size"] == len(PARTICIPANTS)]["max"].rename("last_yes_s").reset_index()


def prepare_timeout_s(history: History) -> float:
    """How long the coordinator of this run waited for votes, seconds."""
    name = "gateway.prepare_timeout_ms"
    milliseconds: float = history.plan.platform.settings.get(name, SETTINGS[name].default)
    return milliseconds / 1000


def termination(history: History) -> list[Row]:
    """AC5: what is still open when the run has ended."""
    known = coordinated(history)
    undecided = known["decision"] == ""
    given_up = known["exhausted_s"].notna() & known["closed_s"].isna()
    unacknowledged = ~undecided & ~given_up & known["closed_s"].isna()
    voters = participated(history)
    in_doubt = voters[(voters["vote"] == "yes") & (voters["outcome"] == "")]
    columns = ["gid", "kind", "decision", "begun_s"]
    return [
        *rows_of(known[undecided][columns].assign(problem="undecided")),
        *rows_of(known[given_up][columns].assign(problem=GIVEN_UP)),
        *rows_of(known[unacknowledged][columns].assign(problem="not acknowledged by every participant")),
        *rows_of(in_doubt[["gid", "role", "voted_s"]].assign(problem="in doubt")),
    ]
