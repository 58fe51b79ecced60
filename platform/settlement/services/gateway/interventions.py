"""What operators do about transactions in doubt. Every order is recorded with who gave it, why, and what it found.

`commit` and `abort` are heuristic decisions where the protocol has none, or another; where they agree with it they have
it told again. Against a durable decision an operator has to say so. `forget` closes a record, and only when no
participant is in doubt any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, bindparam, insert, select

from settlement.chassis.problems import Problem
from settlement.protocol.events import Forgotten, Overruled, Resumed
from settlement.protocol.records import Decision
from settlement.protocol.transitions import ProtocolError
from settlement.services.gateway.doubt import Case, examine, is_resolved, unable_to_commit
from settlement.services.gateway.events import publish_intervention
from settlement.services.gateway.model import interventions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from settlement.chassis.app import Chassis
    from settlement.chassis.coordinator_driver import Coordinator
    from settlement.chassis.database import Transaction
    from settlement.protocol.records import TransactionRecord
    from settlement.services.gateway.journal import GatewayJournal
    from settlement.services.gateway.schemas import HeuristicOrder, OperatorOrder

SHOWN_MAX: Final = 200
_ADD = insert(interventions)
_OF_GID = (
    select(interventions)
    .where(interventions.c.gid == bindparam("wanted_gid"))
    .order_by(interventions.c.id.desc())
    .limit(SHOWN_MAX)
)


class Interventions:
    """The operators' side of one gateway replica."""

    def __init__(self, chassis: Chassis, journal: GatewayJournal, coordinator: Coordinator) -> None:
        self._chassis = chassis
        self._journal = journal
        self._coordinator = coordinator

    async def cases(self, states: Collection[str], older_than_ms: int) -> list[dict[str, Any]]:
        """Transactions in these states that were begun that long ago, oldest first, with advice."""
        now_ms = self._chassis.clock.now_ms()
        rows = await self._journal.in_states(states, now_ms - older_than_ms, SHOWN_MAX)
        return [case.described() for case in await examine(self._chassis.client, rows, now_ms)]

    async def case(self, gid: str) -> dict[str, Any]:
        """One transaction, whatever its state, with what operators did to it. Raises Problem 404."""
        case = await self._examined(gid)
        done = await self._chassis.database.read(_OF_GID, {"wanted_gid": gid})
        return {**case.described(), "interventions": [dict(row._mapping) for row in done]}

    async def decide(self, gid: str, decision: Decision, order: HeuristicOrder) -> dict[str, Any]:
        """Decide instead of the protocol, or have its decision told again.

        Raises Problem 404, 409 `already_closed | contradicts_decision | cannot_commit`.
        """
        case = await self._examined(gid)
        unable = [party.name for party in unable_to_commit(case)] if decision is Decision.COMMIT else []
        if unable:
            raise Problem(409, "cannot_commit", "It cannot be committed", f"{' and '.join(unable)} cannot commit")

        def refuse(found: TransactionRecord) -> None:
            # Judged on what is decided at this very moment: a decision may have become durable since the list was read.
            if found.decision not in (None, decision) and not order.against_decision:
                detail = f"{found.decision} is durable, and clients may have been told; against_decision insists"
                raise Problem(409, "contradicts_decision", "The protocol has decided otherwise", detail)

        return await self._intervene(gid, decision.value, Overruled(decision), order, refuse)

    async def resume(self, gid: str, order: OperatorOrder) -> dict[str, Any]:
        """Have an exhausted decision delivered again. Raises Problem 404, 409 `not_exhausted | already_closed`."""
        return await self._intervene(gid, "resume", Resumed(), order, _agree)

    async def forget(self, gid: str, order: OperatorOrder) -> dict[str, Any]:
        """Close a record that nobody acknowledges any more. Raises Problem 404, 409 `not_resolved | already_closed`."""
        case = await self._examined(gid)
        if not is_resolved(case):
            waiting = "; ".join(f"{party.name} is {party.standing}" for party in case.parties)
            raise Problem(409, "not_resolved", "Somebody may still be in doubt about it", waiting)
        return await self._intervene(gid, "forget", Forgotten(), order, _agree)

    async def _examined(self, gid: str) -> Case:
        row = await self._journal.find(gid)
        if row is None:
            raise _not_found()
        (case,) = await examine(self._chassis.client, [row], self._chassis.clock.now_ms())
        return case

    async def _intervene(
        self,
        gid: str,
        action: str,
        event: Overruled | Resumed | Forgotten,
        order: OperatorOrder,
        refuse: Callable[[TransactionRecord], None],
    ) -> dict[str, Any]:
        async def note(tx: Transaction, found: TransactionRecord) -> None:
            refuse(found)
            line = self._line(gid, action, order, found)
            await tx.execute(_ADD, line)
            await publish_intervention(self._chassis.outbox, tx, line)

        try:
            record = await self._coordinator.intervene(gid, event, note)
        except ProtocolError as error:
            raise await self._impossible(gid) from error
        if record is None:
            raise _not_found()
        self._chassis.log.warning("intervened", gid=gid, action=action, operator=order.operator, reason=order.reason)
        return {
            "gid": gid, "state": record.phase, "decision": record.decision, "overruled": record.overruled,
            "heuristic": record.heuristic,
        }  # fmt: skip

    def _line(self, gid: str, action: str, order: OperatorOrder, found: TransactionRecord) -> dict[str, Any]:
        return {
            "gid": gid, "action": action, "operator": order.operator, "reason": order.reason,
            "state_before": found.phase.value, "decision_before": found.decision and found.decision.value,
            "intervened_at_ms": self._chassis.clock.now_ms(),
        }  # fmt: skip

    async def _impossible(self, gid: str) -> Problem:
        row: Row[Any] | None = await self._journal.find(gid)
        if row is not None and row.state == "closed":
            return Problem(409, "already_closed", "It is closed: everybody has acknowledged, or an operator closed it")
        return Problem(409, "not_exhausted", "Not in this state", f"it is {'gone' if row is None else row.state}")


def _agree(found: TransactionRecord) -> None:
    """Nothing to refuse that the protocol does not."""


def _not_found() -> Problem:
    return Problem(404, "transaction_not_found", "No such transaction")
