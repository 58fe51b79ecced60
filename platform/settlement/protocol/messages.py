"""What the two roles say to each other. A message that commands is imperative."""

from __future__ import annotations

from dataclasses import dataclass

from settlement.protocol.records import Decision, Vote
from settlement.values import unguarded


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
