"""How long rows are kept: tables that would grow for ever name what is old, and one background job drops it.

    # in a service's model.py
    RETENTION = (Retention(assessments, "risk.kept_days", lambda before_ms: assessments.c.assessed_at_ms < before_ms),)

In small transactions with pauses in between, off the path of requests; rows that somebody holds are left for the next
time, so replicas may sweep at once. Money, orders, transactions, the ledger and the audit chain name nothing: they are
kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from prometheus_client import Counter
from structlog.typing import FilteringBoundLogger

from settlement.chassis.clock import Clock
from settlement.chassis.database import Database, Transaction
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics

BATCH: Final = 500
# Of one table in one go. With the interval it bounds what sweeping costs, far above what a replica can write.
BATCHES_MAX: Final = 200
SWEEP_INTERVAL_MS: Final = 60_000
PAUSE_S: Final = 0.02
_UNIT_MS: Final = {"days": 86_400_000, "s": 1_000}


@dataclass(frozen=True, slots=True)
class Retention:
    """Rows of `table` for which `old(before_ms)` holds may go; the setting says how long before now that is."""

    table: sa.Table
    setting: str
    old: Callable[[int], sa.ColumnElement[bool]]


class Sweeper:
    """Drops what is old in one service's database."""

    def __init__(
        self,
        database: Database,
        retentions: Sequence[Retention],
        settings: LiveSettings,
        clock: Clock,
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        self._database = database
        self._retentions = retentions
        self._settings = settings
        self._clock = clock
        self._log = log
        self._dropped = Counter(
            "paylab_retention_dropped_rows", "Rows dropped because they were old", ["table"], registry=metrics.registry
        )

    async def sweep(self) -> None:
        """Drop what is old now, in every table."""
        for retention in self._retentions:
            dropped = await self._swept(retention)
            if dropped:
                self._dropped.labels(retention.table.name).inc(dropped)
                self._log.info("old_rows_dropped", table=retention.table.name, rows=dropped)

    async def _swept(self, retention: Retention) -> int:
        condition = retention.old(self._clock.now_ms() - self._kept_ms(retention.setting))
        total = 0
        for _ in range(BATCHES_MAX):
            found = sa.select(*retention.table.primary_key).where(condition).limit(BATCH)
            if not await self._database.read(found):  # a write transaction for nothing would be in everybody's way
                break
            total += await self._database.run(lambda tx, found=found: _drop(tx, retention.table, found))  # type: ignore[misc]
            await asyncio.sleep(PAUSE_S)
        return total

    def _kept_ms(self, setting: str) -> int:
        return self._settings.integer(setting) * _UNIT_MS[setting.rsplit("_", 1)[1]]


async def _drop(tx: Transaction, table: sa.Table, found: sa.Select[tuple[object, ...]]) -> int:
    # Found again under a lock: what was old a moment ago may have been used again.
    rows = (await tx.execute(found.with_for_update(skip_locked=True))).all()
    if not rows:
        return 0
    key = sa.tuple_(*table.primary_key)
    return (await tx.execute(sa.delete(table).where(key.in_([tuple(row) for row in rows])))).rowcount
