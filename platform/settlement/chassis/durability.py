"""Durable commits without stopping the event loop: group commit for SQLite's write-ahead log.

With `synchronous=FULL` every COMMIT waits for the disk inside the event loop, one transaction at a time; on a busy disk
that is milliseconds in which the replica answers nobody. Here a COMMIT only appends to the log (`synchronous=NORMAL`,
the operating system has it), and the transaction's author waits until one `fdatasync` of the log, made by a thread, has
covered it. Transactions that commit while a sync is under way share the next one. The log is append-only between
checkpoints and SQLite's checksums ignore a torn tail, so a synced prefix is exactly what FULL would have kept.

Others see a commit before it is durable. Whoever writes on that ground commits later in the same log and waits for a
later sync; whoever only answers on that ground calls `Database.durable()` first.

A failed sync is final. The kernel reports it once and may drop the pages that it could not write; the next sync would
succeed without them. So every later one fails here too, and whoever made the `LogSync` is told, to end the process.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

CHECKPOINT_AFTER_PAGES: Final = 1_000

_log = structlog.get_logger()


class LogSync:
    """Makes what was committed to one database's write-ahead log durable, several transactions at a time."""

    def __init__(self, path: Path, at_failure: Callable[[OSError], object]) -> None:
        """`at_failure` is called once, on the event loop, before anybody has learnt of the failed sync."""
        self._path = path
        self._at_failure = at_failure
        self._failure: OSError | None = None
        self._log = os.open(f"{path}-wal", os.O_RDWR)
        # One thread: a sync and a checkpoint never compete, and order is kept.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log-sync")
        self._next: asyncio.Future[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._checkpointer: sqlite3.Connection | None = None
        self.syncs = 0

    async def durable(self) -> None:
        """Return when everything committed so far is on the disk. Raises OSError if the disk refuses, or ever has."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        waiting = self._next
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="log-sync")
        await asyncio.shield(waiting)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._next is not None:
                batch, self._next = self._next, None
                try:
                    await loop.run_in_executor(self._thread, self._sync)
                except Exception as error:  # noqa: BLE001 - passed on; whatever it is, nobody may wait for ever
                    batch.set_exception(error)
                    batch.exception()  # its waiters may have been cancelled: mark it as seen
                    self._remember(error)
                else:
                    batch.set_result(None)
        finally:
            self._running = None

    def _remember(self, error: Exception) -> None:
        if self._failure is None and isinstance(error, OSError):
            self._failure = error
            self._at_failure(error)

    def _sync(self) -> None:
        if self._failure is not None:
            raise OSError(*self._failure.args) from self._failure
        os.fdatasync(self._log)
        self.syncs += 1
        if os.fstat(self._log).st_size > CHECKPOINT_AFTER_PAGES * 4_096 and self.syncs % 64 == 0:
            self._try_checkpoint()

    def _try_checkpoint(self) -> None:
        try:
            self._checkpoint()
        except sqlite3.Error as error:
            # The log itself is on the disk, so nobody is lied to; it only grows until a later attempt succeeds.
            _log.error("checkpoint_failed", database=self._path.name, error=str(error))

    def _checkpoint(self) -> None:
        """Copy the log into the file here, where waiting for the disk blocks nobody. Passive: waits for no reader."""
        if self._checkpointer is None:
            self._checkpointer = sqlite3.connect(self._path, isolation_level=None)
        self._checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        """Wait for the sync that is under way and let go of the log."""
        if self._checkpointer is not None:
            self._thread.submit(self._checkpointer.close).result()
        self._thread.shutdown(wait=True)
        os.close(self._log)
