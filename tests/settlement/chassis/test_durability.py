"""The shared wait for the disk: whatever fails on the way, nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from settlement.chassis import durability
from settlement.chassis.durability import LogSync

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
    log = LogSync(broken)
    async with asyncio.timeout(5):
        for _ in range(2 * SYNCS_UNTIL_A_CHECKPOINT):
            await log.durable()
    assert log.syncs == 2 * SYNCS_UNTIL_A_CHECKPOINT
    log.close()
