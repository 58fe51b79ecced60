"""Assessments: one verdict a payment, remembered, counted safely.

What a velocity rule counts are the payments of a user that were *allowed*: a refused one moves nothing, and counting
it would keep a user blocked for as long as they try. An allowed payment counts even if it fails later.

An allowing assessment does not wait for the disk (see docs/decisions/0012): a power cut may forget the last second of
them, and velocity rules then count that much too little. A refusal waits, because an event and an operator follow from
it. On a database server every commit waits; there it is the server's setting.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter
from sqlalchemy import Row, bindparam, func, select, update

from settlement.chassis.sql import insert_ignore
from settlement.services.risk.judging import RuleInForce, Usage, judge, windows_s
from settlement.services.risk.model import assessments, subjects
from settlement.services.risk.schemas import Assessment, AssessmentRequest, Fired, Verdict

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction
    from settlement.services.risk.rules import RuleBook

_KNOWN = select(assessments).where(assessments.c.payment_key == bindparam("wanted"))
_QUEUE = (
    update(subjects).where(subjects.c.user_id == bindparam("subject")).values(assessments=subjects.c.assessments + 1)
)
_FIRST = insert_ignore(subjects)
_USAGE = (
    select(
        assessments.c.currency,
        func.count().label("payments"),
        func.sum(assessments.c.amount_minor).label("total_minor"),
    )
    .where(
        assessments.c.user_id == bindparam("subject"),
        assessments.c.assessed_at_ms > bindparam("after_ms"),
        assessments.c.verdict == "allow",
    )
    .group_by(assessments.c.currency)
)
_INSERT = insert_ignore(assessments)


class RiskService:
    """Judges payments by the rules in force."""

    def __init__(self, chassis: Chassis, book: RuleBook) -> None:
        self._database = chassis.database
        self._outbox = chassis.outbox
        self._clock = chassis.clock
        self._book = book
        self._unsynced = False
        self._verdicts = Counter(
            "paylab_risk_assessments", "Payments judged", ["verdict"], registry=chassis.metrics.registry
        )

    async def assess(self, asked: AssessmentRequest) -> Assessment:
        """The verdict on a payment; the same again for a payment that was judged before."""
        rules = self._book.in_force

        async def body(tx: Transaction) -> tuple[Row[Any], bool]:
            return await self._assess(tx, asked, rules)

        row, is_new = await self._database.run(body, durable=False)
        if row.verdict == "allow":
            self._unsynced = True
        else:
            await self._database.durable()
        if is_new:
            self._verdicts.labels(row.verdict).inc()
        return view(row)

    async def sync(self) -> None:
        """Let the disk catch up with the assessments that did not wait for it."""
        if self._unsynced:
            self._unsynced = False
            await self._database.durable()

    async def page(self, *, user_id: int | None, verdict: Verdict | None, before: int, limit: int) -> list[Assessment]:
        """Assessments with an id below `before`, newest first."""
        statement = select(assessments).where(assessments.c.assessment_id < before)
        if user_id is not None:
            statement = statement.where(assessments.c.user_id == user_id)
        if verdict is not None:
            statement = statement.where(assessments.c.verdict == verdict)
        statement = statement.order_by(assessments.c.assessment_id.desc()).limit(limit)
        return [view(row) for row in await self._database.read(statement)]

    async def _assess(
        self, tx: Transaction, asked: AssessmentRequest, rules: tuple[RuleInForce, ...]
    ) -> tuple[Row[Any], bool]:
        windows = windows_s(rules)
        if windows:
            await _queue(tx, asked.user_id)
        key = {"wanted": asked.payment_key}
        known = (await tx.execute(_KNOWN, key)).one_or_none()
        if known is not None:
            return known, False
        now_ms = self._clock.now_ms()
        usage = {window_s: await _usage(tx, asked.user_id, now_ms - 1_000 * window_s) for window_s in windows}
        verdict, fired = judge(rules, asked, usage)
        stored = await tx.execute(_INSERT, {**asked.model_dump(), **_columns(verdict, fired), "assessed_at_ms": now_ms})
        row = (await tx.execute(_KNOWN, key)).one()
        if not stored.rowcount:
            return row, False  # the same question came twice at once, and the other one was first
        if verdict != "allow":
            await self._tell(tx, row, fired)
        return row, True

    async def _tell(self, tx: Transaction, row: Row[Any], fired: list[Fired]) -> None:
        data = {
            "user_id": row.user_id,
            "order_no": row.order_no,
            "amount_minor": row.amount_minor,
            "verdict": row.verdict,
            "rules": [rule.name for rule in fired],
        }
        await self._outbox.add(tx, type="risk.refused", subject=row.order_no, data=data)


async def _queue(tx: Transaction, user_id: int) -> None:
    """Wait until nobody else counts this user's payments; held until the transaction ends."""
    while not (await tx.execute(_QUEUE, {"subject": user_id})).rowcount:
        await tx.execute(_FIRST, {"user_id": user_id, "assessments": 0})


async def _usage(tx: Transaction, user_id: int, after_ms: int) -> Usage:
    rows = (await tx.execute(_USAGE, {"subject": user_id, "after_ms": after_ms})).all()
    sums_minor = {row.currency: int(row.total_minor) for row in rows}
    return Usage(sum(row.payments for row in rows), sums_minor)


def _columns(verdict: Verdict, fired: list[Fired]) -> dict[str, str]:
    return {"verdict": verdict, "fired": json.dumps([rule.model_dump() for rule in fired])}


def view(row: Row[Any]) -> Assessment:
    """A stored assessment as it is shown."""
    values = dict(row._mapping)
    return Assessment(rules=json.loads(values.pop("fired")), **values)
