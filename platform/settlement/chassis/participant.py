"""What a service must know how to do, and own, to take part in a distributed transaction.

A service supplies a `Business`: the half of a participant that knows about orders or money. The other half, who
votes what and when, is `settlement.protocol`; `participant_driver` runs the two together.

Every act of a business has an *outside* half and a *local* half. The outside half (`reach_out`) may call other
systems, takes its time, and can happen more than once, so it must be idempotent. The local half (`reserve`,
`confirm`, `release`) only writes to the service's own database. It runs inside the very transaction that writes the
barrier row, so reservation, vote and barrier become durable together or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Column, Index, Integer, MetaData, Table, Text

from settlement.chassis.columns import moment, reference, word
from settlement.protocol.records import Vote

if TYPE_CHECKING:
    from settlement.chassis.database import Transaction

Gid = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Outside = TypeVar("Outside")


class Action(StrEnum):
    """What a participant can be asked to do with its resources.

    The last two are the article's: reserve and confirm at once, and take a confirmation back.
    """

    RESERVE = "reserve"
    CONFIRM = "confirm"
    RELEASE = "release"
    COLLECT = "collect"
    REVOKE = "revoke"


class Payload(BaseModel):
    """What a transaction is about; travels unchanged with prepare and decision. Amounts are minor units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: int = Field(ge=1, le=2**63 - 1)
    order_no: str = Field(min_length=1, max_length=64)
    amount_minor: int = Field(ge=1, le=10**12)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    method: str = Field(pattern=r"^(card|wallet|balance)$")
    # The participant of payments writes them into addresses: nothing that would lead elsewhere may be in them.
    out_trade_no: Gid
    payment_gid: Gid | None = None
    refund_no: Gid | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """The business's answer to a prepare. `reason` is a short code such as `out_of_stock`; empty with a yes."""

    vote: Vote
    reason: str = ""

    @classmethod
    def granted(cls) -> Reservation:
        """The resources are held: this participant can commit whatever happens."""
        return cls(Vote.YES)

    @classmethod
    def refused(cls, reason: str) -> Reservation:
        """Nothing is held, and the transaction cannot commit."""
        return cls(Vote.NO, reason)


class Unresolved(Exception):
    """The outside half could not be completed for now: another system holds something, or not; nobody can say.

    `reason` is a short code for the coordinator. On a reserve it becomes an *uncertain* refusal, which leaves no
    record, so that the abort it brings releases whatever may be held. On confirm and release nothing changes here, and
    the coordinator sends its decision again.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Business(Protocol[Outside]):
    """One participant's knowledge of its own resources. `kind` is `payment` or `refund`.

    `Outside` is whatever `reach_out` found out and the local half needs to know; `None` for a service with no one to
    call. Raising in any method leaves no trace in this database; the coordinator gets an error and asks again or
    aborts.
    """

    async def reach_out(self, action: Action, gid: str, kind: str, payload: Payload) -> Outside:
        """Do what must be done in other systems before the local half. Idempotent; no transaction is open.

        `RELEASE` also comes for transactions that never reached this participant, and once more when a reservation
        comes home after the abort. Raises `Unresolved` while another system's answer is not known.
        """
        ...

    async def reserve(self, tx: Transaction, gid: str, kind: str, payload: Payload, outside: Outside) -> Reservation:
        """Hold the resources. Runs at most once per gid. A refusal must not hold anything."""
        ...

    async def confirm(self, tx: Transaction, gid: str, kind: str, payload: Payload, outside: Outside) -> None:
        """Make the reservation final. Runs exactly once, after a granted `reserve`."""
        ...

    async def release(self, tx: Transaction, gid: str, kind: str, payload: Payload, outside: Outside) -> None:
        """Undo the reservation. Must do nothing when there is none: prepare may never have come, or been refused."""
        ...


@runtime_checkable
class Revocable(Protocol):
    """A business that the article's protocol can make copy one result over another."""

    async def revoke(self, tx: Transaction, gid: str, kind: str, payload: Payload) -> None:
        """Take a `confirm` back. Runs once, after it; must do nothing if what it confirmed has moved on."""
        ...


def barrier_table(metadata: MetaData) -> Table:
    """Declare the barrier of this service in its own metadata: one row a transaction, whichever message came first.

    `vote` is NULL for an empty rollback (the abort came before any prepare); `outcome` is NULL while in doubt;
    `inquiries` is how often the coordinator had to be asked for it, the first time at `asked_at_ms`.
    """
    table = Table(
        "participant_barrier",
        metadata,
        reference("gid", primary_key=True),
        word("kind", 16),
        Column("payload", Text, nullable=False),
        word("state", 16),
        word("vote", 8, optional=True),
        word("reason", 64),
        moment("voted_at_ms", optional=True),
        word("outcome", 16, optional=True),
        moment("outcome_at_ms", optional=True),
        Column("inquiries", Integer, nullable=False, default=0),
        moment("asked_at_ms", optional=True),
    )
    Index("participant_barrier_by_state", table.c.state, table.c.voted_at_ms)
    return table


def audit_votes_view(participant: str) -> str:
    """The SELECT of the view `audit_votes`, for a service's `VIEWS`. `participant` is the service's own name."""
    if not participant.isidentifier():
        raise ValueError(f"not a service name: {participant!r}")
    return (
        f"SELECT gid, '{participant}' AS participant, kind, vote, reason, voted_at_ms, outcome, outcome_at_ms, "  # noqa: S608
        "inquiries, asked_at_ms FROM participant_barrier"
    )
