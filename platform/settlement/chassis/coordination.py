"""What a coordinator and the service it works for tell each other: errands, records, and where the records live."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from settlement.chassis.participant import Payload
from settlement.protocol.lease import Lease
from settlement.protocol.records import TransactionRecord

if TYPE_CHECKING:
    from settlement.chassis.database import Transaction
    from settlement.chassis.two_phase_metrics import InDoubt


@dataclass(frozen=True, slots=True)
class Errand:
    """What a transaction is for, as every participant is told."""

    gid: str
    kind: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class Claimed:
    """A transaction that this replica just took over, with its new lease."""

    errand: Errand
    record: TransactionRecord
    lease: Lease


class Journal(Protocol):
    """Where the coordinator's records are durable. All methods run inside the caller's transaction."""

    async def update(self, tx: Transaction, record: TransactionRecord, lease: Lease) -> bool:
        """Store a later record if the stored epoch is still the lease's; False, and a note of it, if it is not."""
        ...

    async def has_lapsed(self, now_ms: int) -> bool:
        """Whether there may be anything to claim: a glance without a transaction."""
        ...

    async def claim(
        self, tx: Transaction, owner: str, now_ms: int, lease_ms: int, except_gids: Collection[str], limit: int
    ) -> list[Claimed]:
        """Take over undecided and unfinished transactions whose lease lapsed, each one epoch up."""
        ...

    async def claim_left_behind(
        self, tx: Transaction, replica: str, owner: str, now_ms: int, lease_ms: int, limit: int
    ) -> list[Claimed]:
        """Take over what an earlier process of this very replica was driving, lapsed or not, each one epoch up."""
        ...

    async def in_doubt(self) -> InDoubt:
        """What is begun and not closed, and what waits for an operator, whoever drives it."""
        ...

    async def claim_one(self, tx: Transaction, gid: str, owner: str, now_ms: int, lease_ms: int) -> Claimed | None:
        """Take over this transaction whoever drives it, one epoch up: for an operator. None if there is no such gid."""
        ...


# Stores the begin record, in the caller's transaction. May raise to refuse: then nothing of the transaction exists.
Insert = Callable[["Transaction", TransactionRecord, Lease], Awaitable[None]]


class Overtaken(Exception):
    """The transaction is another replica's now, or its record could not be written: read the answer from the record."""
