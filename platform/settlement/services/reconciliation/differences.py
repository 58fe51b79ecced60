"""Differences: found by runs, once each; resolved by operators, or by a run that does not find them any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Gauge
from sqlalchemy import Row, bindparam, func, insert, select, update

from settlement.chassis.problems import Problem
from settlement.services.reconciliation.comparing import Difference
from settlement.services.reconciliation.model import differences
from settlement.services.reconciliation.schemas import DifferenceView

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction

RECORDED_AT_ONCE = 200

_KNOWN = (
    select(differences)
    .where(differences.c.channel == bindparam("of_channel"), differences.c.identity == bindparam("wanted"))
    .with_for_update()
)
_INSERT = insert(differences)
_FOUND_AGAIN = (
    update(differences)
    .where(differences.c.difference_id == bindparam("wanted"))
    .values(
        run_id=bindparam("this_run"),
        aspect=bindparam("new_aspect"),
        ours_minor=bindparam("new_ours"),
        theirs_minor=bindparam("new_theirs"),
        ours_state=bindparam("new_state"),
    )
)
_REOPEN = _FOUND_AGAIN.values(state="open", resolved_by="", note="", resolved_at_ms=None)
_GONE = (
    update(differences)
    .where(
        differences.c.channel == bindparam("of_channel"),
        differences.c.at_ms >= bindparam("from_ms"),
        differences.c.at_ms < bindparam("until_ms"),
        differences.c.state == "open",
        differences.c.run_id != bindparam("this_run"),
    )
    .values(state="resolved", resolved_by="run", note=bindparam("why"), resolved_at_ms=bindparam("now_ms"))
)
_ONE = select(differences).where(differences.c.difference_id == bindparam("wanted"))
_RESOLVE = (
    update(differences)
    .where(differences.c.difference_id == bindparam("wanted"), differences.c.state == "open")
    .values(state="resolved", resolved_by="operator", note=bindparam("why"), resolved_at_ms=bindparam("now_ms"))
)
_COUNT_OPEN = select(func.count()).select_from(differences).where(differences.c.state == "open")


class Differences:
    """The differences of all runs."""

    def __init__(self, chassis: Chassis) -> None:
        self._database = chassis.database
        self._outbox = chassis.outbox
        self._clock = chassis.clock
        registry = chassis.metrics.registry
        self._open = Gauge(
            "paylab_reconciliation_differences_open", "Differences nobody has resolved", registry=registry
        )
        self._found = Counter(
            "paylab_reconciliation_differences", "Differences found, once each", ["kind"], registry=registry
        )
        chassis.metrics.at_exposition(self._count)

    async def record(self, channel: str, statement_id: int, run_id: int, found: Sequence[Difference]) -> int:
        """Store what a run found; returns how many of it nobody knew before."""
        new: list[Difference] = []
        for start in range(0, len(found), RECORDED_AT_ONCE):
            part = found[start : start + RECORDED_AT_ONCE]

            async def body(tx: Transaction, part: Sequence[Difference] = part) -> list[Difference]:
                return [item for item in part if await self._record(tx, channel, statement_id, run_id, item)]

            new += await self._database.run(body)
        for difference in new:
            self._found.labels(difference.kind).inc()
        return len(new)

    async def resolve_gone(self, channel: str, run_id: int, from_ms: int, until_ms: int) -> None:
        """Resolve what earlier runs found in a period and this one did not."""
        period = {"of_channel": channel, "from_ms": from_ms, "until_ms": until_ms, "this_run": run_id}
        why = {"why": f"run {run_id} did not find it any more", "now_ms": self._clock.now_ms()}
        await self._database.write(_GONE, {**period, **why})

    async def resolve(self, difference_id: int, note: str) -> DifferenceView:
        """Close a difference with what was found out. Raises Problem 404, 409 `already_resolved`."""
        change = {"wanted": difference_id, "why": note, "now_ms": self._clock.now_ms()}
        changed = (await self._database.write(_RESOLVE, change)).rowcount
        found = await self.find(difference_id)
        if not changed:
            raise Problem(409, "already_resolved", "This difference is resolved", found.note)
        return found

    async def find(self, difference_id: int) -> DifferenceView:
        """One difference. Raises Problem 404."""
        rows = await self._database.read(_ONE, {"wanted": difference_id})
        if not rows:
            raise Problem(404, "difference_not_found", "No such difference", str(difference_id))
        return _view(rows[0])

    async def page(self, *, after: int, limit: int, **equal: object) -> list[DifferenceView]:
        """Differences with an id above `after`, of which the named columns are as given (None: any)."""
        statement = select(differences).where(differences.c.difference_id > after)
        for name, value in equal.items():
            if value is not None:
                statement = statement.where(differences.c[name] == value)
        rows = await self._database.read(statement.order_by(differences.c.difference_id).limit(limit))
        return [_view(row) for row in rows]

    async def _count(self) -> None:
        self._open.set((await self._database.read(_COUNT_OPEN))[0][0])

    async def _record(self, tx: Transaction, channel: str, statement_id: int, run_id: int, item: Difference) -> bool:
        """Whether the difference is new, or was resolved by a run and is back."""
        known = (await tx.execute(_KNOWN, {"of_channel": channel, "wanted": item.identity})).one_or_none()
        if known is not None:
            is_back = known.state == "resolved" and known.resolved_by == "run"
            await tx.execute(_REOPEN if is_back else _FOUND_AGAIN, _again(known, item, run_id))
            if not is_back:
                return False
        else:
            await tx.execute(_INSERT, self._row(channel, statement_id, run_id, item))
        await self._tell(tx, channel, statement_id, item)
        return True

    def _row(self, channel: str, statement_id: int, run_id: int, item: Difference) -> dict[str, Any]:
        of_run = {"channel": channel, "statement_id": statement_id, "run_id": run_id}
        fresh = {"state": "open", "note": "", "resolved_by": "", "found_at_ms": self._clock.now_ms()}
        return {**asdict(item), "identity": item.identity, **of_run, **fresh}

    async def _tell(self, tx: Transaction, channel: str, statement_id: int, item: Difference) -> None:
        data = {
            "statement_id": statement_id,
            "kind": item.kind,
            "channel": channel,
            "out_trade_no": item.out_trade_no,
            "ours_minor": item.ours_minor,
            "theirs_minor": item.theirs_minor,
            "currency": item.currency,
        }
        await self._outbox.add(tx, type="reconciliation.difference_found", subject=item.out_trade_no, data=data)


def _again(known: Row[Any], item: Difference, run_id: int) -> dict[str, Any]:
    return {
        "wanted": known.difference_id,
        "this_run": run_id,
        "new_aspect": item.aspect,
        "new_ours": item.ours_minor,
        "new_theirs": item.theirs_minor,
        "new_state": item.ours_state,
    }


def _view(row: Row[Any]) -> DifferenceView:
    return DifferenceView.model_validate({name: row._mapping[name] for name in DifferenceView.model_fields})
