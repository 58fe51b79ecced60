"""What the two roles know: votes, decisions, where each stands with a transaction, and what of it becomes durable.

All are hashable values, frozen as far as mypy is concerned (`settlement.values`); so are the messages, events and
effects beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from settlement.values import unguarded


class Vote(StrEnum):
    """A participant's answer to a prepare."""

    YES = "yes"
    NO = "no"


class Decision(StrEnum):
    """The coordinator's verdict on a transaction. "Commit" means this, never the SQL statement."""

    COMMIT = "commit"
    ABORT = "abort"


class CoordinatorPhase(StrEnum):
    """Where a coordinator stands with one transaction."""

    INITIAL = "initial"
    PREPARING = "preparing"
    # Never durable, and of the article's protocol only: money is being taken; it was, and the order is to say so.
    CHARGING = "charging"
    CONFIRMING = "confirming"
    DECIDED = "decided"
    CLOSED = "closed"
    EXHAUSTED = "exhausted"
    FENCED = "fenced"


class ParticipantPhase(StrEnum):
    """Where a participant stands with one transaction. Only the last three are ever durable."""

    INITIAL = "initial"
    RESERVING = "reserving"
    PREPARED = "prepared"
    COMMITTED = "committed"
    ABORTED = "aborted"


@unguarded
@dataclass(frozen=True, slots=True)
class Participant:
    """One party. `asked_last`: it cannot hold without charging, so it is asked after the others' yes."""

    name: str
    asked_last: bool = False


@unguarded
@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """The coordinator's durable row. The interpreter stores it by compare-and-set on `(gid, epoch)`.

    `heuristic`: an operator decided or closed it. `overruled`: what an operator has participants told against the
    decision; the decision itself, and what clients were told of it, stay.
    """

    gid: str
    phase: CoordinatorPhase
    participants: tuple[Participant, ...]
    epoch: int
    decision: Decision | None = None
    reason: str = ""
    attempts: int = 0
    heuristic: bool = False
    overruled: Decision | None = None


@unguarded
@dataclass(frozen=True, slots=True)
class BarrierRecord:
    """The participant's durable row. `vote` is None for an empty rollback (an abort that came before any prepare)."""

    gid: str
    phase: ParticipantPhase
    vote: Vote | None
    reason: str = ""
