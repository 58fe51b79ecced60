"""A process that hangs ends itself, so that whoever starts the dead again brings it back.

Engines restart what has died, not what is unhealthy. A service whose event loop is stuck (a deadlock, a loop without an
end) would hold its connections and its part of the payments for ever; dead, it is started again and recovers.

Time is counted in the watching thread's own steps, not read from a clock: a process that was paused, or got no
processor time, has not hung, and does not wake up only to be told so.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
import threading
from collections.abc import Callable
from typing import Final

STEP_S: Final = 1.0
STEPS_MAX: Final = 30
EXIT_STATUS: Final = 70  # EX_SOFTWARE of sysexits.h


class Watchdog:
    """Watches the event loop that `run` runs on."""

    def __init__(self, end: Callable[[], object], *, step_s: float = STEP_S, steps_max: int = STEPS_MAX) -> None:
        """`end` is called, in another thread, when the loop did nothing for `steps_max` steps."""
        self._end = end
        self._step_s = step_s
        self._steps_max = steps_max
        self._beats = 0
        self._over = threading.Event()
        self.steps = 0

    async def run(self) -> None:
        """Give a sign of life at every step, until cancelled."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        try:
            while True:
                self._beats += 1
                await asyncio.sleep(self._step_s)
        finally:
            self._over.set()

    def _watch(self) -> None:
        seen, silent = -1, 0
        while not self._over.wait(self._step_s):
            self.steps += 1
            silent = 0 if self._beats != seen else silent + 1
            seen = self._beats
            if silent >= self._steps_max:
                self._end()
                return


def end_hung_process() -> None:
    """Say where every thread is, on standard error, and end at once."""
    sys.stderr.write(f"paylab: the event loop has been stuck for {STEPS_MAX * STEP_S:g} s; this process ends itself\n")
    faulthandler.dump_traceback(all_threads=True)
    os._exit(EXIT_STATUS)
