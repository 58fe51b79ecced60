"""Stock and orders under every disorder: prepares, commits and aborts of many transactions, in any order, repeated.

The messages go through the real protocol's participant and the order's real business, on a real database. After every
step each unit of stock must be in exactly one place, and that place must be accounted for by the orders.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from sqlalchemy import Executable, Row, insert, select, text

from settlement.chassis.participant import Payload
from settlement.chassis.problems import Problem
from settlement.chassis.sqlite import SqliteDatabase
from settlement.protocol.effects import Confirm, Release, Reserve
from settlement.protocol.events import DecisionReceived, PrepareRequested, Reserved
from settlement.protocol.participant import ParticipantState, handle
from settlement.protocol.records import Decision
from settlement.protocol.transitions import ProtocolError
from settlement.services.order.catalogue import Catalogue
from settlement.services.order.model import VIEWS, OrderStatus, metadata, orders
from settlement.services.order.participant import OrderBusiness
from settlement.services.order.service import OrderService
from settlement.services.order.snapshot import OrderedGoods, dump, load

GOODS = 3
STOCK = 5
USER = 7


class HandClock:
    """A clock that a rule moves."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> float:
        return float(self.ms)


class Events:
    """An outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []

    async def add(self, tx: object, *, type: str, subject: str, data: dict[str, object]) -> None:  # noqa: A002
        self.kept.append((type, subject))


@dataclass(frozen=True)
class Deal:
    """One transaction: a payment of an order, or the refund of a payment."""

    gid: str
    kind: str
    order_no: str
    amount_minor: int
    payment_gid: str | None = None

    @property
    def payload(self) -> Payload:
        return Payload(
            user_id=USER,
            order_no=self.order_no,
            amount_minor=self.amount_minor,
            currency="CNY",
            method="card",
            out_trade_no=f"t-{self.gid}",
            payment_gid=self.payment_gid,
        )


class Disorder(RuleBasedStateMachine):
    """Payments and refunds of a few orders over three goods with five units each."""

    deals = Bundle("deals")
    order_numbers = Bundle("order_numbers")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = HandClock()
        self.events = Events()
        self.database = SqliteDatabase(Path(self.folder.name) / "order.sqlite", "OFF")
        self.runner.run(self.database.create_schema([metadata], VIEWS))
        self.business = OrderBusiness(self.clock, self.events)
        self.service = OrderService(self.database, self.clock, self.events)
        self.states: dict[str, ParticipantState] = {}
        self.known: dict[str, Deal] = {}
        self.totals: dict[str, int] = {}
        catalogue = Catalogue(self.database)
        self.runner.run(catalogue.seed(goods_count=GOODS, stock_per_goods=STOCK, merchant_count=2, currency="CNY"))

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()
        self.folder.cleanup()

    @rule(
        target=order_numbers,
        counts=st.dictionaries(st.integers(1, GOODS), st.integers(1, 3), min_size=1),
        lives_ms=st.sampled_from([500, 10_000]),
    )
    def order(self, counts: dict[int, int], lives_ms: int) -> str:
        number = f"{len(self.totals):013d}"
        lines = [OrderedGoods(goods_id, "x", count, 10, 1) for goods_id, count in counts.items()]
        self.totals[number] = sum(line.amount_minor for line in lines)
        now_ms = self.clock.now_ms()
        values = {
            "order_no": number, "user_id": USER, "goods_list": dump(lines), "total_minor": self.totals[number],
            "currency": "CNY", "status": OrderStatus.PENDING.value, "pay_method": "card",
            "created_at_ms": now_ms, "updated_at_ms": now_ms, "expires_at_ms": now_ms + lives_ms,
        }  # fmt: skip
        self.runner.run(self._insert(values))
        return number

    async def _insert(self, values: dict[str, object]) -> None:
        async with self.database.transaction() as tx:
            await tx.execute(insert(orders), values)

    @rule(target=deals, number=order_numbers, wrong_minor=st.sampled_from([0, 0, 0, 1]))
    def want_to_pay(self, number: str, wrong_minor: int) -> Deal:
        return self._deal("payment", number, self.totals[number] + wrong_minor)

    @rule(target=deals, payment=deals)
    def want_back(self, payment: Deal) -> Deal:
        return self._deal("refund", payment.order_no, payment.amount_minor, payment.gid)

    def _deal(self, kind: str, number: str, amount_minor: int, payment_gid: str | None = None) -> Deal:
        deal = Deal(f"g{len(self.states)}", kind, number, amount_minor, payment_gid)
        self.states[deal.gid] = ParticipantState(deal.gid)
        self.known[deal.gid] = deal
        return deal

    @rule(deal=deals)
    def prepare(self, deal: Deal) -> None:
        self.runner.run(self._feed(deal, PrepareRequested()))

    @rule(deal=deals, decision=st.sampled_from(Decision))
    def decide(self, deal: Deal, decision: Decision) -> None:
        try:
            self.runner.run(self._feed(deal, DecisionReceived(decision)))
        except ProtocolError:
            assert self.states[deal.gid].phase.value in {"initial", "aborted", "committed"}

    @rule(deal=deals)
    def pay_whole(self, deal: Deal) -> None:
        """The usual course, so that long histories get past the first payment."""
        self.prepare(deal)
        decision = Decision.COMMIT if self.states[deal.gid].phase.value == "prepared" else Decision.ABORT
        self.decide(deal, decision)

    @rule(number=order_numbers)
    def cancel(self, number: str) -> None:
        with suppress(Problem):  # refused while a payment holds the order, or after it
            assert self.runner.run(self.service.cancel(USER, number)).status == "cancelled"

    @rule(passed_ms=st.sampled_from([1, 600, 20_000]))
    def time_passes(self, passed_ms: int) -> None:
        self.clock.ms += passed_ms
        self.runner.run(self.service.expire())

    async def _feed(self, deal: Deal, event: PrepareRequested | DecisionReceived | Reserved) -> None:
        """One message: the state changes only if the whole local transaction does."""
        async with self.database.transaction() as tx:
            state, effects = handle(self.states[deal.gid], event)
            given = (tx, deal.gid, deal.kind, deal.payload, None)
            for effect in effects:
                if isinstance(effect, Reserve):
                    answer = await self.business.reserve(*given)
                    state, _ = handle(state, Reserved(answer.vote, answer.reason))
                elif isinstance(effect, Confirm):
                    await self.business.confirm(*given)
                elif isinstance(effect, Release):
                    await self.business.release(*given)
        self.states[deal.gid] = state

    def _read(self, query: Executable) -> Sequence[Row[Any]]:
        return self.runner.run(self.database.read(query))

    @invariant()
    def every_unit_is_in_one_place(self) -> None:
        for row in self._read(text("SELECT * FROM audit_stock")):
            assert row.initial_units == STOCK
            assert row.available_units + row.reserved_units + row.sold_units == STOCK
            assert min(row.available_units, row.reserved_units, row.sold_units) >= 0

    @invariant()
    def orders_account_for_the_stock(self) -> None:
        reserved: Counter[int] = Counter()
        sold: Counter[int] = Counter()
        for row in self._read(select(orders)):
            place = {"PAYING": reserved, "PAID": sold, "REFUNDING": sold}.get(OrderStatus(row.status).name)
            for line in load(row.goods_list):
                if place is not None:
                    place[line.goods_id] += line.count
        for row in self._read(text("SELECT * FROM audit_stock")):
            assert (row.reserved_units, row.sold_units) == (reserved[row.goods_id], sold[row.goods_id])

    @invariant()
    def an_order_is_held_by_whom_it_promised_itself_to(self) -> None:
        prepared = {gid for gid, state in self.states.items() if state.phase.value == "prepared"}
        rows = self._read(select(orders))
        assert {row.holder_gid for row in rows if row.holder_gid} == prepared
        for row in rows:
            assert (row.holder_gid is not None) == (row.status in {OrderStatus.PAYING, OrderStatus.REFUNDING})

    @invariant()
    def who_was_told_commit_has_it(self) -> None:
        committed = {gid for gid, state in self.states.items() if state.phase.value == "committed"}
        rows = self._read(text("SELECT paid_gid, refund_gid, status FROM audit_orders"))
        recorded = {gid for row in rows for gid in (row.paid_gid, row.refund_gid) if gid}
        assert recorded == committed
        assert all(row.paid_gid for row in rows if row.status in {"paid", "refunding", "refunded"})
        for row in rows:
            assert row.refund_gid is None or self.known[row.refund_gid].payment_gid == row.paid_gid


TestDisorder = pytest.mark.timeout(120)(Disorder.TestCase)
TestDisorder.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
