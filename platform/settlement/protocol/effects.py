"""What the two roles want done, in this order: the output of `handle`."""

from __future__ import annotations

from dataclasses import dataclass

from settlement.protocol.messages import Message
from settlement.protocol.records import BarrierRecord, TransactionRecord
from settlement.values import unguarded


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
