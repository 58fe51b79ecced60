"""An event loop whose time stands still while the machine is busy elsewhere.

Services, clients and network of a test live on one loop, so a timeout of 100 ms must mean: nobody had anything to do
for 100 ms. On the machine's clock it would also mean: something else had the processor. Time passes here as it does in
every loop while it waits for something to happen; of a stretch of work, and of being woken too late, it counts a few
milliseconds at most.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Final

STRETCH_S_MAX: Final = 0.005


class _Waiting(selectors.DefaultSelector):
    """The selector that everything waits in: it knows how long that was."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_s = self._seen_s = time.monotonic()

    def passed_s(self) -> float:
        """The time now. Inside a stretch of work it goes on, up to its limit."""
        return self._passed_s + min(time.monotonic() - self._seen_s, STRETCH_S_MAX)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._pass(STRETCH_S_MAX)
        ready = super().select(timeout)
        self._pass(float("inf") if timeout is None else max(timeout, 0.0) + STRETCH_S_MAX)
        return ready

    def _pass(self, at_most_s: float) -> None:
        now_s = time.monotonic()
        self._passed_s += min(now_s - self._seen_s, at_most_s)
        self._seen_s = now_s


class PatientLoop(asyncio.SelectorEventLoop):
    """See the top of this file."""

    def __init__(self) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting)

    def time(self) -> float:
        return self._waiting.passed_s()
