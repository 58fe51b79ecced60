"""Reports: asked for at once, made and stored in the background, tried again until the storage takes them.

What a report says is read when it is made, from the tables that events fill. A report is `ready` when both its files
are stored, and only then does anybody see them; a report that was stored twice because its maker died in between has
files that nobody refers to, never half a file.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import Gauge
from sqlalchemy import Row, bindparam, func, insert, select, update

from settlement.chassis.problems import Problem
from settlement.chassis.sql import insert_ignore
from settlement.services.reporting import facts, storage
from settlement.services.reporting.model import report_files, reports
from settlement.services.reporting.rendering import as_csv, as_json
from settlement.services.reporting.schemas import FORMATS, KINDS, FileView, Format, Kind, ReportView

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction

T = TypeVar("T")

STORAGE_TIMEOUT_S = 30.0
THREADS = 2
MADE_AT_ONCE_MAX = 10
# Longer than making one report can take: until then nobody else begins it.
CLAIM_MS = 90_000
DAY_MS = 86_400_000

_ASK = insert_ignore(reports)
_ASKED = select(reports).where(reports.c.asked == bindparam("wanted"))
_ONE = select(reports).where(reports.c.report_id == bindparam("wanted"))
_FILES = select(report_files).where(report_files.c.report_id == bindparam("wanted")).order_by(report_files.c.format)
_DUE = (
    select(reports)
    .where(reports.c.state == "pending", reports.c.next_attempt_at_ms <= bindparam("now_ms"))
    .order_by(reports.c.next_attempt_at_ms)
    .limit(MADE_AT_ONCE_MAX)
)
_CLAIM = (
    update(reports)
    .where(
        reports.c.report_id == bindparam("wanted"),
        reports.c.state == "pending",
        reports.c.next_attempt_at_ms == bindparam("seen_ms"),
    )
    .values(next_attempt_at_ms=bindparam("then_ms"), attempts=reports.c.attempts + 1)
)
_READY = (
    update(reports)
    .where(reports.c.report_id == bindparam("wanted"), reports.c.state == "pending")
    .values(state="ready", rows=bindparam("row_count"), problem="", stored_at_ms=bindparam("now_ms"))
)
_FAILED = (
    update(reports)
    .where(reports.c.report_id == bindparam("wanted"), reports.c.state == "pending")
    .values(problem=bindparam("why"), next_attempt_at_ms=bindparam("then_ms"))
)
_COUNT_PENDING = select(func.count()).select_from(reports).where(reports.c.state == "pending")


class Reporting:
    """Makes, stores and reads reports."""

    def __init__(self, chassis: Chassis, folder: Path) -> None:
        """`folder` is where reports are kept unless `reporting.storage_url` says otherwise."""
        self._chassis = chassis
        self._database = chassis.database
        self._clock = chassis.clock
        self._folder = folder
        # Threads of its own: a storage that hangs must not keep others from theirs.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")
        self._pending = Gauge(
            "paylab_reporting_reports_pending", "Reports not stored yet", registry=chassis.metrics.registry
        )
        chassis.metrics.at_exposition(self._count)

    async def ask(self, day: str, kind: Kind) -> ReportView:
        """Ask for a report; it is made in the background."""
        asked = await self._ask(uuid.uuid4().hex, day, kind)
        self._chassis.spawn(self.make_due(), "make_reports")
        return asked

    async def ask_daily(self) -> None:
        """Ask for all reports of the day before, once, if anything happened on it."""
        due_ms = self._clock.now_ms() - self._chassis.settings.integer("reporting.daily_after_ms")
        day = facts.day_of(due_ms - DAY_MS)
        missing = [kind for kind in KINDS if not await self._database.read(_ASKED, {"wanted": f"daily.{day}.{kind}"})]
        if missing and await facts.has_decisions(self._database, day):
            for kind in missing:
                await self._ask(f"daily.{day}.{kind}", day, kind)

    async def make_due(self) -> None:
        """Make and store the reports that are due."""
        due = await self._database.read(_DUE, {"now_ms": self._clock.now_ms()})
        for row in due:
            if await self._claimed(row):
                await self._make(row)

    async def find(self, report_id: int) -> ReportView:
        """One report. Raises Problem 404."""
        rows = await self._database.read(_ONE, {"wanted": report_id})
        if not rows:
            raise Problem(404, "report_not_found", "No such report", str(report_id))
        return await self._view(rows[0])

    async def page(self, *, day: str | None, kind: Kind | None, before: int, limit: int) -> list[ReportView]:
        """Reports with an id below `before`, newest first."""
        statement = select(reports).where(reports.c.report_id < before)
        if day is not None:
            statement = statement.where(reports.c.day == day)
        if kind is not None:
            statement = statement.where(reports.c.kind == kind)
        rows = await self._database.read(statement.order_by(reports.c.report_id.desc()).limit(limit))
        return [await self._view(row) for row in rows]

    async def content(self, report_id: int, wanted: Format) -> tuple[ReportView, bytes]:
        """A report and one of its files.

        Raises Problem 404 `report_not_found`, 409 `report_pending`, 410 `content_gone`, 502 `content_damaged` if the
        stored file is not what was stored, 503 `storage_unavailable`.
        """
        report = await self.find(report_id)
        if report.state == "pending":
            raise Problem(409, "report_pending", "Not stored yet", report.problem, headers={"Retry-After": "1"})
        files = {row.format: row for row in await self._database.read(_FILES, {"wanted": report_id})}
        file = files[wanted]
        try:
            content = await self._in_thread(lambda: storage.read(file.url))
        except storage.FileGone as error:
            raise Problem(410, "content_gone", "The stored file is gone") from error
        except storage.StorageFailed as error:
            self._chassis.log.warning("report_not_read", report_id=report_id, error=str(error))
            raise Problem(503, "storage_unavailable", "Try again", headers={"Retry-After": "5"}) from error
        if hashlib.sha256(content).hexdigest() != file.sha256:
            self._chassis.log.error("report_damaged", report_id=report_id, url=file.url)
            raise Problem(502, "content_damaged", "The stored file is not what was stored")
        return report, content

    def close(self) -> None:
        """Let the threads end; what hangs is left behind."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _count(self) -> None:
        self._pending.set((await self._database.read(_COUNT_PENDING))[0][0])

    async def _ask(self, asked: str, day: str, kind: Kind) -> ReportView:
        now_ms = self._clock.now_ms()
        row = {"asked": asked, "day": day, "kind": kind, "state": "pending", "rows": 0, "attempts": 0}
        row |= {"next_attempt_at_ms": now_ms, "problem": "", "asked_at_ms": now_ms}

        async def body(tx: Transaction) -> Row[Any]:
            await tx.execute(_ASK, row)
            return (await tx.execute(_ASKED, {"wanted": asked})).one()

        return await self._view(await self._database.run(body))

    async def _claimed(self, row: Row[Any]) -> bool:
        claim = {"wanted": row.report_id, "seen_ms": row.next_attempt_at_ms, "then_ms": self._clock.now_ms() + CLAIM_MS}
        return bool((await self._database.write(_CLAIM, claim)).rowcount)

    async def _make(self, row: Row[Any]) -> None:
        try:
            base = storage.base_url(self._chassis.settings.text("reporting.storage_url"), self._folder)
            found = await facts.rows_of(self._database, row.kind, row.day)
            files = await self._in_thread(lambda: _store(base, row, found))
        except storage.StorageFailed as error:
            await self._postpone(row, str(error))
            return
        await self._database.run(lambda tx: self._finish(tx, row, len(found), files))
        self._chassis.log.info("report_stored", report_id=row.report_id, day=row.day, kind=row.kind, rows=len(found))

    async def _finish(self, tx: Transaction, row: Row[Any], row_count: int, files: list[dict[str, Any]]) -> None:
        ready = {"wanted": row.report_id, "row_count": row_count, "now_ms": self._clock.now_ms()}
        if (await tx.execute(_READY, ready)).rowcount:  # else somebody was faster, and theirs are as good
            await tx.execute(insert(report_files), files)

    async def _postpone(self, row: Row[Any], why: str) -> None:
        self._chassis.log.warning("report_not_stored", report_id=row.report_id, attempts=row.attempts + 1, error=why)
        then_ms = self._clock.now_ms() + self._chassis.settings.integer("reporting.retry_ms")
        await self._database.write(_FAILED, {"wanted": row.report_id, "why": why[:200], "then_ms": then_ms})

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Do blocking work off the event loop. Raises StorageFailed when it takes too long."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            async with asyncio.timeout(STORAGE_TIMEOUT_S):
                return await running
        except TimeoutError as error:
            raise storage.StorageFailed(f"no answer within {STORAGE_TIMEOUT_S:g} s") from error

    async def _view(self, row: Row[Any]) -> ReportView:
        files = await self._database.read(_FILES, {"wanted": row.report_id}) if row.state == "ready" else []
        shown = [FileView(format=file.format, sha256=file.sha256, size_bytes=file.size_bytes) for file in files]
        columns = {name: row._mapping[name] for name in ReportView.model_fields if name != "files"}
        return ReportView.model_validate({**columns, "files": shown})


def _store(base: str, row: Row[Any], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Render and store both forms; returns their rows for `report_files`. Blocks."""
    contents = {
        "csv": as_csv(facts.COLUMNS[row.kind], found),
        "json": as_json(row.kind, row.day, found),
    }
    stored = []
    for form in FORMATS:
        content = contents[form]
        sha256 = hashlib.sha256(content).hexdigest()
        # Named by its content too: two makers of one report cannot overwrite each other's file.
        url = f"{base}/{row.day}/{row.kind}-{row.report_id}-{sha256[:12]}.{form}"
        if len(url) > storage.URL_LENGTH_MAX:
            raise storage.StorageFailed(f"the address is longer than {storage.URL_LENGTH_MAX} characters")
        storage.write(url, content)
        stored.append(
            {"report_id": row.report_id, "format": form, "url": url, "sha256": sha256, "size_bytes": len(content)}
        )
    return stored
