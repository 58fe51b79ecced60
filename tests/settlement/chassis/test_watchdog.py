"""A stuck event loop is noticed by its own process; a working one is left alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

from settlement.chassis.watchdog import EXIT_STATUS, Watchdog

STEP_S = 0.005
DEADLINE_S = 30.0


async def test_a_loop_that_is_stuck_is_ended() -> None:
    ended = threading.Event()
    watching = asyncio.create_task(Watchdog(ended.set, step_s=STEP_S, steps_max=5).run())
    await asyncio.sleep(0)
    assert ended.wait(DEADLINE_S), "blocks the loop, which is the point"
    watching.cancel()


async def test_a_loop_that_works_is_left_alone_until_it_is_not_watched_any_more() -> None:
    ended = threading.Event()
    watchdog = Watchdog(ended.set, step_s=STEP_S, steps_max=100_000)
    watching = asyncio.create_task(watchdog.run())
    async with asyncio.timeout(DEADLINE_S):
        while watchdog.steps < 20:
            await asyncio.sleep(STEP_S)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert not ended.is_set()
    assert "watchdog" not in {thread.name for thread in threading.enumerate() if not _ends(thread)}


def _ends(thread: threading.Thread) -> bool:
    if thread.name == "watchdog":
        thread.join(DEADLINE_S)
    return not thread.is_alive()


def test_a_hung_process_says_where_it_hangs() -> None:
    program = "from settlement.chassis.watchdog import end_hung_process\ndef stuck(): end_hung_process()\nstuck()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_STATUS
    assert "has been stuck for 30 s" in done.stderr
    assert "in stuck" in done.stderr
