"""Runs: read both records of a period, compare, keep the differences.

A run changes nothing but its own records, and may be repeated: it finds the same differences again, not new ones. What
differs only because one side is still about to book it is *pending*; the grace (`reconciliation.grace_ms`) says for
how long that is believed. Both sides are read with that margin, theirs first: what is in the statement began with us
before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, bindparam, insert, select, update

from settlement.chassis.problems import Problem
from settlement.chassis.sql import insert_ignore
from settlement.services.reconciliation.comparing import Comparison, Line, Period, compare
from settlement.services.reconciliation.differences import Differences
from settlement.services.reconciliation.model import runs, schedules
from settlement.services.reconciliation.schemas import CHANNELS, PERIOD_MS_MAX, PeriodIn, RunView
from settlement.services.reconciliation.sources import SourceFailed, movements_of, statement_of
from settlement.services.reconciliation.statements import Statements

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction

FIRST_PERIOD_MS = 86_400_000

_INSERT = insert(runs)
_ONE = select(runs).where(runs.c.run_id == bindparam("wanted"))
_PAGE = (
    select(runs).where(runs.c.run_id < bindparam("before")).order_by(runs.c.run_id.desc()).limit(bindparam("rows_max"))
)
_END = (
    update(runs)
    .where(runs.c.run_id == bindparam("wanted"))
    .values({name: bindparam(f"new_{name}") for name in (
        "state", "statement_id", "lines", "matched", "pending", "found", "new", "problem", "ended_at_ms",
    )})
)  # fmt: skip
_INTERRUPTED = (
    update(runs)
    .where(runs.c.state == "running", runs.c.replica == bindparam("this_replica"))
    .values(state="failed", problem="the replica stopped", ended_at_ms=bindparam("now_ms"))
)
_FIRST_SCHEDULE = insert_ignore(schedules)
_SCHEDULES = select(schedules).where(schedules.c.channel == bindparam("of_channel"))
_CLAIM = (
    update(schedules)
    .where(schedules.c.channel == bindparam("of_channel"), schedules.c.next_at_ms == bindparam("seen_ms"))
    .values(next_at_ms=bindparam("then_ms"))
)
_DONE = (
    update(schedules).where(schedules.c.channel == bindparam("of_channel")).values(done_until_ms=bindparam("until_ms"))
)


class Reconciliation:
    """Compares what channels say with what we say."""

    def __init__(self, chassis: Chassis, statements: Statements, differences: Differences) -> None:
        self._chassis = chassis
        self._database = chassis.database
        self._clock = chassis.clock
        self._statements = statements
        self._differences = differences
        # One at a time: a run holds both records in memory.
        self._turn = asyncio.Lock()

    async def begin(self, period: PeriodIn, statement_id: int | None = None) -> RunView:
        """Start a run in the background: of a statement that was uploaded, else of one that is pulled now."""
        run_id = await self._insert(period, statement_id)
        self._chassis.spawn(self._run(run_id, period, statement_id), f"run_{run_id}")
        return await self.find(run_id)

    async def begin_uploaded(self, statement_id: int) -> RunView:
        """Start a run of a statement. Raises Problem 404."""
        known = await self._statements.find(statement_id)
        period = PeriodIn(channel=known.channel, from_ms=known.from_ms, until_ms=known.until_ms)
        return await self.begin(period, statement_id)

    async def find(self, run_id: int) -> RunView:
        """One run. Raises Problem 404."""
        rows = await self._database.read(_ONE, {"wanted": run_id})
        if not rows:
            raise Problem(404, "run_not_found", "No such run", str(run_id))
        return _view(rows[0])

    async def page(self, *, before: int, limit: int) -> list[RunView]:
        """Runs with an id below `before`, newest first."""
        return [_view(row) for row in await self._database.read(_PAGE, {"before": before, "rows_max": limit})]

    async def fail_interrupted(self) -> None:
        """Runs that this replica did not live to finish have failed; start them again."""
        this = {"this_replica": self._chassis.replica, "now_ms": self._clock.now_ms()}
        await self._database.write(_INTERRUPTED, this)

    async def run_scheduled(self) -> None:
        """Reconcile every channel whose turn it is, from where the last scheduled run that succeeded ended."""
        interval_ms = self._chassis.settings.integer("reconciliation.interval_ms")
        if not interval_ms:
            return
        for channel in CHANNELS:
            due = await self._claim(channel, interval_ms)
            until_ms = self._clock.now_ms() - self._chassis.settings.integer("reconciliation.grace_ms")
            if due is None or until_ms <= due.done_until_ms:
                continue
            until_ms = min(until_ms, due.done_until_ms + PERIOD_MS_MAX)
            period = PeriodIn(channel=channel, from_ms=due.done_until_ms, until_ms=until_ms)
            if await self._run(await self._insert(period, None), period, None):
                await self._database.write(_DONE, {"of_channel": channel, "until_ms": until_ms})

    async def _claim(self, channel: str, interval_ms: int) -> Row[Any] | None:
        """The schedule of a channel whose turn it is, claimed for this replica; None if it is not, or another's."""
        now_ms = self._clock.now_ms()
        rows = await self._database.read(_SCHEDULES, {"of_channel": channel})
        if rows and rows[0].next_at_ms > now_ms:
            return None

        async def body(tx: Transaction) -> Row[Any] | None:
            first = {"channel": channel, "done_until_ms": max(0, now_ms - FIRST_PERIOD_MS), "next_at_ms": now_ms}
            await tx.execute(_FIRST_SCHEDULE, first)
            seen = (await tx.execute(_SCHEDULES, {"of_channel": channel})).one()
            claim = {"of_channel": channel, "seen_ms": seen.next_at_ms, "then_ms": now_ms + interval_ms}
            taken = seen.next_at_ms <= now_ms and (await tx.execute(_CLAIM, claim)).rowcount
            return seen if taken else None

        return await self._database.run(body)

    async def _insert(self, period: PeriodIn, statement_id: int | None) -> int:
        nothing = dict.fromkeys(("lines", "matched", "pending", "found", "new"), 0)
        row = {
            **period.model_dump(include={"channel", "from_ms", "until_ms"}),
            **nothing,
            "grace_ms": self._chassis.settings.integer("reconciliation.grace_ms"),
            "statement_id": statement_id,
            "replica": self._chassis.replica,
            "state": "running",
            "problem": "",
            "started_at_ms": self._clock.now_ms(),
        }
        return (await self._database.write(_INSERT, row)).lastrowid

    async def _run(self, run_id: int, period: PeriodIn, statement_id: int | None) -> bool:
        """Do a run and record how it ended; returns whether it finished."""
        async with self._turn:
            try:
                result = await self._reconcile(run_id, period, statement_id)
            except SourceFailed as error:
                result = {"state": "failed", "problem": str(error)[:200]}
            except Exception:
                await self._end(run_id, {"state": "failed", "problem": "internal error; see the log"})
                raise
            await self._end(run_id, result)
        self._chassis.log.info("reconciled", run_id=run_id, channel=period.channel, **result)
        return bool(result["state"] == "finished")

    async def _reconcile(self, run_id: int, period: PeriodIn, statement_id: int | None) -> dict[str, Any]:
        grace_ms = self._chassis.settings.integer("reconciliation.grace_ms")
        is_pulled = statement_id is None
        statement_id, lines, theirs_until_ms = await self._theirs(period, statement_id, grace_ms)
        ours_until_ms = min(self._clock.now_ms(), period.until_ms + grace_ms)
        first_ms = max(0, period.from_ms - grace_ms)
        ours = await movements_of(self._chassis.client, period.channel, first_ms, ours_until_ms)
        bounds = Period(period.from_ms, period.until_ms, theirs_until_ms, ours_until_ms, grace_ms)
        # In a thread: a day of a busy channel is seconds of work.
        compared: Comparison = await asyncio.to_thread(compare, lines, ours, bounds)
        found = compared.differences
        new = await self._differences.record(period.channel, statement_id, run_id, found)
        if is_pulled:
            await self._differences.resolve_gone(period.channel, run_id, period.from_ms, period.until_ms)
        counts = {"matched": compared.matched, "pending": compared.pending, "found": len(found), "new": new}
        return {"state": "finished", "statement_id": statement_id, "lines": len(lines), **counts}

    async def _theirs(self, period: PeriodIn, statement_id: int | None, grace_ms: int) -> tuple[int, list[Line], int]:
        """Their record: the statement's id, its lines, and until when it is complete."""
        if statement_id is not None:
            covers_until_ms = (await self._statements.find(statement_id)).covers_until_ms
            return statement_id, await self._statements.lines(statement_id), covers_until_ms
        until_ms = min(self._clock.now_ms(), period.until_ms + grace_ms)
        first_ms = max(0, period.from_ms - grace_ms)
        lines = await statement_of(self._chassis.client, period.channel, first_ms, until_ms)
        made = await self._statements.import_lines(
            period.channel, "pulled", period.from_ms, period.until_ms, until_ms, lines
        )
        return made, lines, until_ms

    async def _end(self, run_id: int, result: dict[str, Any]) -> None:
        counts = dict.fromkeys(("lines", "matched", "pending", "found", "new"), 0)
        row = {"statement_id": None, "problem": "", **counts, **result, "ended_at_ms": self._clock.now_ms()}
        await self._database.write(_END, {"wanted": run_id, **{f"new_{name}": value for name, value in row.items()}})


def _view(row: Row[Any]) -> RunView:
    return RunView.model_validate({name: row._mapping[name] for name in RunView.model_fields})
