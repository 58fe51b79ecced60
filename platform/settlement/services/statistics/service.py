"""Figures from the counters. An interval is widened to whole minutes, which is how finely events are counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, Row, Select, Table, bindparam, func, select

from settlement.chassis.problems import Problem
from settlement.services.statistics.counting import MINUTE_MS, minute_of
from settlement.services.statistics.model import merchant_minutes, order_minutes, payment_minutes
from settlement.services.statistics.schemas import CurrencySummary, Figure, Figures, Group, Summary

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis

DAY_MS: Final = 86_400_000
ROWS_MAX: Final = 10_000
_COLUMN_OF: Final = {"minute": "minute_ms", "merchant": "merchant_id", "method": "method"}
# A merchant's share is known of orders only; of a payment that failed there is no order that was paid.
_PAYMENT_WORDS: Final = {"paid": ("payment", "succeeded"), "refunded": ("refund", "succeeded")}


@dataclass(frozen=True, slots=True)
class Interval:
    """Whole minutes: `from_ms` inclusive, `to_ms` exclusive."""

    from_ms: int
    to_ms: int


def interval(from_ms: int | None, to_ms: int | None, now_ms: int) -> Interval:
    """The interval asked for: by default up to now, and the day before its end. Problem 422 if it is empty."""
    end_ms = now_ms + 1 if to_ms is None else to_ms
    begin_ms = max(0, end_ms - DAY_MS) if from_ms is None else from_ms
    if begin_ms >= end_ms:
        raise Problem(422, "interval_empty", "The interval is empty", "from_ms must be below to_ms")
    return Interval(minute_of(begin_ms), minute_of(end_ms + MINUTE_MS - 1))


class Statistics:
    """Reads of the counters."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis

    async def payments(self, over: Interval, group: Group) -> Figures:
        """Payments and refunds. Problem 422 `too_many_rows`."""
        if group == "merchant":
            rows = await self._rows(merchant_minutes, over, "status", "merchant_id", words=tuple(_PAYMENT_WORDS))
            return _figures(over, group, [_as_payment(row) for row in rows])
        rows = await self._rows(payment_minutes, over, "kind", "status", *_columns(group))
        return _figures(over, group, [_figure(row) for row in rows])

    async def orders(self, over: Interval, group: Group) -> Figures:
        """Orders by what happened to them. Problem 422 `too_many_rows`."""
        table = merchant_minutes if group == "merchant" else order_minutes
        rows = await self._rows(table, over, "status", *_columns(group))
        return _figures(over, group, [_figure(row) for row in rows])

    async def summary(self, over: Interval) -> Summary:
        """Orders, payments and refunds in a few figures."""
        found: dict[str, CurrencySummary] = {}
        for row in await self._rows(order_minutes, over, "status"):
            of = found.setdefault(row.currency, CurrencySummary(currency=row.currency))
            setattr(of, f"orders_{row.status}", int(row.events))
            if row.status == "created":
                of.ordered_minor = int(row.amount_minor)
        for row in await self._rows(payment_minutes, over, "kind", "status"):
            of = found.setdefault(row.currency, CurrencySummary(currency=row.currency))
            setattr(of, f"{row.kind}s_{row.status}", int(row.events))
            if row.status == "succeeded":
                setattr(of, {"payment": "paid_minor", "refund": "refunded_minor"}[row.kind], int(row.amount_minor))
        summaries = [_completed(found[currency]) for currency in sorted(found)]
        return Summary(from_ms=over.from_ms, to_ms=over.to_ms, currencies=summaries)

    async def _rows(
        self, table: Table, over: Interval, *names: str, words: tuple[str, ...] | None = None
    ) -> list[Row[Any]]:
        query = _sums(table, [table.c[name] for name in (*names, "currency")])
        if words is not None:
            query = query.where(table.c.status.in_(words))
        found = await self._chassis.database.read(query, {"from_ms": over.from_ms, "to_ms": over.to_ms})
        if len(found) > ROWS_MAX:
            detail = f"more than {ROWS_MAX} rows: ask for a shorter interval"
            raise Problem(422, "too_many_rows", "The answer would be too long", detail)
        return list(found)


def _sums(table: Table, by: list[Column[Any]]) -> Select[Any]:
    sums = (func.sum(table.c.events).label("events"), func.sum(table.c.amount_minor).label("amount_minor"))
    return (
        select(*by, *sums)
        .where(table.c.minute_ms >= bindparam("from_ms"), table.c.minute_ms < bindparam("to_ms"))
        .group_by(*by)
        .order_by(*by)
        .limit(ROWS_MAX + 1)
    )


def _columns(group: Group) -> tuple[str, ...]:
    """The column beside the status; every answer has the status already."""
    return () if group == "status" else (_COLUMN_OF[group],)


def _figures(over: Interval, group: Group, rows: list[Figure]) -> Figures:
    rows.sort(key=lambda row: (row.minute_ms or 0, row.merchant_id or 0, row.method or ""))
    return Figures(from_ms=over.from_ms, to_ms=over.to_ms, group=group, rows=rows)


def _figure(row: Row[Any]) -> Figure:
    # MariaDB sums integers to decimals.
    counted = {"count": int(row.events), "amount_minor": int(row.amount_minor)}
    return Figure.model_validate({**row._mapping, **counted})


def _as_payment(row: Row[Any]) -> Figure:
    kind, status = _PAYMENT_WORDS[row.status]
    return _figure(row).model_copy(update={"kind": kind, "status": status})


def _completed(summary: CurrencySummary) -> CurrencySummary:
    decided = summary.payments_succeeded + summary.payments_failed
    summary.net_minor = summary.paid_minor - summary.refunded_minor
    summary.success_share = summary.payments_succeeded / decided if decided else None
    return summary
