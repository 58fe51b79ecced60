"""What happens to the two roles, in the past tense: the input of `handle`."""

from __future__ import annotations

from dataclasses import dataclass

from settlement.protocol.records import BarrierRecord, Decision, Participant, TransactionRecord, Vote
from settlement.values import unguarded


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
