"""The shared wait for the disk: whatever fails on the way, nobody waits for ever, and no failure is forgotten."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from settlement.chassis import durability
from settlement.chassis.durability import LogSync
from settlement.chassis.transport import NotSent

SYNCS_UNTIL_A_CHECKPOINT = 64


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A log that is due for a checkpoint into a file that is no database."""
    path = tmp_path / "broken.sqlite"
    path.write_bytes(b"this is no database" * 100)
    Path(f"{path}-wal").touch()
    os.truncate(f"{path}-wal", (durability.CHECKPOINT_AFTER_PAGES + 1) * 4_096)
    return path


async def test_a_checkpoint_that_fails_keeps_nobody_waiting(broken: Path) -> None:
    failures: list[OSError] = []
    log = LogSync(broken, failures.append)
    async with asyncio.timeout(5):
        for _ in range(2 * SYNCS_UNTIL_A_CHECKPOINT):
            await log.durable()
    assert log.syncs == 2 * SYNCS_UNTIL_A_CHECKPOINT
    assert failures == [], "what is in the log is on the disk"
    log.close()


async def test_after_a_failed_sync_nothing_is_durable_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(f"{tmp_path}/x-wal").touch()
    failures: list[OSError] = []
    log = LogSync(tmp_path / "x", failures.append)
    begun, release = threading.Event(), threading.Event()

    def fail_once(_log: int) -> None:
        begun.set()
        release.wait(5)
        monkeypatch.setattr(os, "fdatasync", lambda _log: None)  # as the kernel does: it reports an error once
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail_once)
    first = asyncio.create_task(log.durable())
    while not begun.is_set():
        await asyncio.sleep(0)
    meanwhile = [asyncio.create_task(log.durable()) for _ in range(3)]
    await asyncio.sleep(0)
    release.set()
    results = await asyncio.wait_for(asyncio.gather(first, *meanwhile, return_exceptions=True), 5)
    assert [str(result) for result in results] == ["[Errno 5] Input/output error"] * 4
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output error"):
            await asyncio.wait_for(log.durable(), 5)
    assert (log.syncs, len(failures)) == (0, 1)
    log.close()


async def test_a_replica_whose_disk_failed_is_gone(cluster: Any, probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_log: int) -> None:
        raise OSError(5, "Input/output error")

    await cluster.start("probe", settings={"database.synchronous": "FULL"})
    monkeypatch.setattr(os, "fdatasync", fail)
    reply = await cluster.call("probe", "POST", "/notes", json={"text": "a"})
    assert reply.status == 500
    with pytest.raises(NotSent):
        await cluster.call("probe", "POST", "/notes", json={"text": "b"})
