"""What no account of a service can tell apart from its work: a durable commit, measured alone on the same disk.

Every visit to a route makes the same number of commits, so their CPU is inside that of the route; and what they wait
for the disk is inside its duration. The embedded platform commits by one fdatasync in a thread: so does this.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

COMMITS = 150
PAGE = b"\0" * 4_096
PAGES_A_COMMIT = 4


@dataclass(frozen=True)
class Commits:
    """Seconds of the event loop's CPU, and of waiting, of single commits."""

    cpu_s: Sequence[float]
    wait_s: Sequence[float]


def commits(folder: Path, number: int = COMMITS) -> Commits:
    """Commit `number` times in `folder`. Raises OSError as the disk does."""
    path = folder / "commit-probe"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with ThreadPoolExecutor(max_workers=1) as thread:
            return asyncio.run(_commits(file, thread, number))
    finally:
        os.close(file)
        path.unlink()


async def _commits(file: int, thread: ThreadPoolExecutor, number: int) -> Commits:
    loop = asyncio.get_running_loop()
    cpu_s, wait_s = [], []
    for _ in range(number):
        os.write(file, PAGE * PAGES_A_COMMIT)
        began_s, used_s = time.perf_counter(), time.thread_time()
        await loop.run_in_executor(thread, os.fdatasync, file)
        spent_s = time.thread_time() - used_s
        cpu_s.append(spent_s)
        wait_s.append(max(0.0, time.perf_counter() - began_s - spent_s))
    return Commits(cpu_s, wait_s)
