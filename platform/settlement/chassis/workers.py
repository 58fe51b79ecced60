"""Background work of a replica: tracked, reported when it fails, stopped at shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from settlement.chassis.trace import enter_trace, new_trace

STOP_TIMEOUT_S: Final = 5.0


class Workers:
    """The background tasks of one replica. A task that fails is logged, never silently lost."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> asyncio.Task[None]:
        """Run a coroutine in the background; it keeps the trace of the task that spawned it."""
        if self._stopped:
            coroutine.close()
            raise RuntimeError(f"{name} was spawned after the replica had stopped")
        task = asyncio.create_task(self._reported(coroutine, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task cancelled before its first step never gets to its coroutine.
        task.add_done_callback(lambda _: coroutine.close())
        return task

    def every(
        self, interval_ms: int | Callable[[], int], job: Callable[[], Awaitable[object]], name: str
    ) -> asyncio.Task[None]:
        """Run `job` again and again, `interval_ms` after it last ended; a function follows a live setting.

        A job that raises is logged and tried again at its next turn.
        """
        interval = interval_ms if callable(interval_ms) else lambda: interval_ms
        return self.spawn(self._forever(interval, job, name), name)

    async def _forever(self, interval: Callable[[], int], job: Callable[[], Awaitable[object]], name: str) -> None:
        while True:
            await asyncio.sleep(interval() / 1_000)
            enter_trace(new_trace())
            try:
                await job()
            except Exception:  # noqa: BLE001 - the boundary of a background job: report, go on
                self._log.exception("worker_failed", worker=name)

    async def _reported(self, coroutine: Coroutine[Any, Any, object], name: str) -> None:
        try:
            await coroutine
        except Exception:  # noqa: BLE001 - the boundary of a background task: report
            self._log.exception("task_failed", task=name)

    async def stop(self) -> None:
        """Cancel everything and wait until it has ended, at most STOP_TIMEOUT_S."""
        self._stopped = True
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S)
            for task in stuck:
                self._log.error("task_does_not_end", task=task.get_name())
