"""What the two roles say to each other (messages), what happens to them (events) and what they want done (effects).

Events are past tense, messages that command are imperative. All are hashable values, frozen as far as mypy is
concerned (`settlement.values`).
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


# ---- records: what becomes durable ----------------------------------------------------------------------------------


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


# ---- messages -------------------------------------------------------------------------------------------------------


@unguarded
@dataclass(frozen=True, slots=True)
class Prepare:
    """Coordinator to participant: can you do this, whatever happens from now on?"""

    gid: str


@unguarded
@dataclass(frozen=True, slots=True)
class Voted:
    """Participant to coordinator: the answer to a prepare."""

    gid: str
    vote: Vote
    reason: str = ""


@unguarded
@dataclass(frozen=True, slots=True)
class Charge:
    """Article only. Gateway to payment: take the money now. It is answered like a prepare, with `Voted`."""

    gid: str


@unguarded
@dataclass(frozen=True, slots=True)
class Decide:
    """Coordinator to participant: this is the decision."""

    gid: str
    decision: Decision


@unguarded
@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Participant to coordinator: the decision is applied and durable here."""

    gid: str


@unguarded
@dataclass(frozen=True, slots=True)
class AskOutcome:
    """Participant to coordinator: I voted yes long ago; what became of it?"""

    gid: str


@unguarded
@dataclass(frozen=True, slots=True)
class Outcome:
    """Coordinator's answer to `AskOutcome`. `decision` is None while undecided: keep waiting."""

    gid: str
    decision: Decision | None


@unguarded
@dataclass(frozen=True, slots=True)
class Answer:
    """Coordinator to its client: the durable decision and why."""

    gid: str
    decision: Decision
    reason: str = ""


Message = Prepare | Voted | Charge | Decide | Acknowledge | AskOutcome | Outcome | Answer


# ---- events ---------------------------------------------------------------------------------------------------------


@unguarded
@dataclass(frozen=True, slots=True)
class Started:
    """A client asked for a transaction among these participants."""

    participants: tuple[Participant, ...]


@unguarded
@dataclass(frozen=True, slots=True)
class VoteReceived:
    """A participant voted."""

    participant: str
    vote: Vote
    reason: str = ""


@unguarded
@dataclass(frozen=True, slots=True)
class AckReceived:
    """A participant applied the decision."""

    participant: str


@unguarded
@dataclass(frozen=True, slots=True)
class OutcomeAsked:
    """A participant asked what became of the transaction."""

    participant: str


@unguarded
@dataclass(frozen=True, slots=True)
class Fenced:
    """The compare-and-set of a `Persist` failed: another replica took the transaction over."""


@unguarded
@dataclass(frozen=True, slots=True)
class Resumed:
    """An operator asked to try an exhausted transaction again."""


@unguarded
@dataclass(frozen=True, slots=True)
class Forgotten:
    """An operator closed a decided transaction by hand: a heuristic end, recorded as such.

    Nobody is told anything. That no participant is in doubt any more is for the interpreter to find out.
    """


@unguarded
@dataclass(frozen=True, slots=True)
class Overruled:
    """An operator decided, without the protocol's decision or against it: a heuristic decision, recorded as such."""

    decision: Decision


@unguarded
@dataclass(frozen=True, slots=True)
class PrepareRequested:
    """A prepare arrived at the participant."""


@unguarded
@dataclass(frozen=True, slots=True)
class Reserved:
    """The business answered a `Reserve`.

    `uncertain`: something outside (a channel) may or may not hold a reservation. Nothing is recorded then; the abort
    that follows releases whatever is there.
    """

    vote: Vote
    reason: str = ""
    uncertain: bool = False


@unguarded
@dataclass(frozen=True, slots=True)
class ChargeRequested:
    """Article only: the order to take money arrived at payment."""


@unguarded
@dataclass(frozen=True, slots=True)
class Collected:
    """Article only: the business answered a `Collect`. `uncertain`: the money may or may not have been taken."""

    vote: Vote
    reason: str = ""
    uncertain: bool = False


@unguarded
@dataclass(frozen=True, slots=True)
class DecisionReceived:
    """The decision arrived at the participant, pushed by the coordinator or as the answer to an inquiry."""

    decision: Decision


@unguarded
@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer set by `SetTimer` ran out."""

    name: str


@unguarded
@dataclass(frozen=True, slots=True)
class Recovered:
    """A restart or a take-over found this record (None: no record)."""

    record: TransactionRecord | BarrierRecord | None


Event = (
    Started
    | VoteReceived
    | AckReceived
    | OutcomeAsked
    | Fenced
    | Resumed
    | Forgotten
    | Overruled
    | PrepareRequested
    | Reserved
    | ChargeRequested
    | Collected
    | DecisionReceived
    | TimerFired
    | Recovered
)


# ---- effects --------------------------------------------------------------------------------------------------------


@unguarded
@dataclass(frozen=True, slots=True)
class Persist:
    """Make the record durable, together with the business change of the `Reserve`/`Confirm`/`Release` before it."""

    record: TransactionRecord | BarrierRecord


@unguarded
@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to a participant by name, or to `COORDINATOR`."""

    to: str
    message: Message


@unguarded
@dataclass(frozen=True, slots=True)
class Reply:
    """Answer whoever caused this: client (`Answer`), coordinator (`Voted`, `Acknowledge`) or asker (`Outcome`)."""

    message: Message


@unguarded
@dataclass(frozen=True, slots=True)
class SetTimer:
    """Feed `TimerFired(name)` after the delay; setting it again replaces it."""

    name: str
    delay_ms: int


@unguarded
@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Drop the timer if it is set."""

    name: str


@unguarded
@dataclass(frozen=True, slots=True)
class Reserve:
    """Do the business work of a prepare and feed `Reserved`.

    It must be idempotent: what is held outside for this gid is found again, never refused. A plain refusal therefore
    means that nothing is held anywhere.
    """


@unguarded
@dataclass(frozen=True, slots=True)
class Confirm:
    """Do the business work of a commit. It must be idempotent and must not fail for business reasons."""


@unguarded
@dataclass(frozen=True, slots=True)
class Release:
    """Undo whatever a reserve did or may have done. It must be idempotent and accept that nothing was done.

    It must also last: work of a reserve that reaches somebody outside only afterwards has to be refused there (a
    tombstone). The process that could release it again may be gone by then.
    """


@unguarded
@dataclass(frozen=True, slots=True)
class Collect:
    """Article only. Do the work of a reserve and of a confirm at once, and feed `Collected`."""


@unguarded
@dataclass(frozen=True, slots=True)
class Revoke:
    """Article only. Take a `Confirm` back: the copied result has changed."""


Effect = Persist | Send | Reply | SetTimer | CancelTimer | Reserve | Confirm | Release | Collect | Revoke

COORDINATOR = "coordinator"
PREPARE_TIMER = "prepare"
RETRY_TIMER = "retry"
ORPHAN_TIMER = "orphan"
PATIENCE_TIMER = "patience"
