"""The order service and its neighbour, the cart: goods, carts, orders, stock, and the order's half of a transaction.

At most one transaction holds an order. A pending order reserves nothing; stock moves available -> reserved -> sold with
the payment's transaction, and back with an abort or a refund.
"""

from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from simulator.events import ORPHAN_AFTER_S, Outbox, look_every
from simulator.kernel import Kernel, Steps
from simulator.network import NotSent, Reply, Unknown
from simulator.node import Payload
from simulator.participant_node import CONFIRM, RESERVE, REVOKE, Action, BarrierStore, Change, ParticipantNode, Refused
from simulator.participants import participant_routes
from simulator.remembered import CartLists, GoodsList
from simulator.replica import Replica
from simulator.service import Answer, Platform, Service, problem

PAGE_SIZE = 20
_HELD = {"payment": "paying", "refund": "refunding"}


def price_minor(goods_id: int) -> int:
    """The generated price of an article: 1.00 to 99.99, the same as in the real catalogue."""
    return 100 + (goods_id * 7_919) % 9_900


@dataclass(slots=True)
class Order:
    """One row. `holder_gid`: the one transaction that holds it now, or ''."""

    order_no: str
    user_id: int
    lines: tuple[tuple[int, int], ...]
    total_minor: int
    currency: str
    created_s: float
    status: str = "pending"
    holder_gid: str = ""
    paid_gid: str = ""
    refund_gid: str = ""


@dataclass(slots=True)
class Stock:
    """Units of one article; every unit is in exactly one of the three places."""

    initial_units: int
    available_units: int
    reserved_units: int = 0
    sold_units: int = 0


class Ordered(NamedTuple):
    """What the cart has to be told: `lines` of a user's cart were ordered. Written by a replica at a moment."""

    user_id: int
    lines: tuple[tuple[int, int], ...]
    writer: str
    at_s: float


@dataclass
class OrderStore:
    """The order service's database. `outbox`: carts ordered and not cleared yet, by number of the order."""

    orders: dict[str, Order] = field(default_factory=dict)
    stock: dict[int, Stock] = field(default_factory=dict)
    barrier: BarrierStore = field(default_factory=BarrierStore)
    events: Outbox = field(default_factory=lambda: Outbox("order"))
    outbox: dict[int, Ordered] = field(default_factory=dict)


@dataclass
class CartStore:
    """The cart's database: {user: {goods: count}}, and the version of each user's cart."""

    items: dict[int, dict[int, int]] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)

    def advance(self, user_id: int) -> None:
        """Every change gives a cart its next version."""
        self.versions[user_id] = self.versions.get(user_id, 0) + 1


class Cart(Service):
    """Carts by user."""

    def __init__(self, platform: Platform, replica: Replica, store: CartStore) -> None:
        super().__init__(platform, replica)
        self._store = store
        self._lists = CartLists(platform.kernel, platform.plan, store.versions)
        self.routes = {
            "GET /cart": self._get,
            "PUT /cart/items/{goods_id}": self._put,
            "GET /internal/carts/{user_id}": self._get,
            "POST /events": self._ordered,
        }

    def recalls(self, route: str, body: Any) -> bool:
        """Whether the cart's list is known."""
        return self._lists.recalls(body["user_id"])

    def _get(self, body: dict[str, Any]) -> Answer:
        return 200, {"items": sorted(self._store.items.get(body["user_id"], {}).items())}, None

    def _put(self, body: dict[str, Any]) -> Steps[Answer]:
        if self.process.database is not None:
            yield self.process.database.connect()
        self._store.items.setdefault(body["user_id"], {})[body["goods_id"]] = body["count"]
        self._store.advance(body["user_id"])
        yield self.committed
        return 200, {}, None

    def _ordered(self, body: dict[str, Any]) -> Steps[Answer]:
        event_cpu_s = self.platform.plan.calibration.event_cpu_s.get("cart", 0.0)
        if event_cpu_s:
            yield self.process.work(event_cpu_s * len(body["events"]))
        if self.process.database is not None:
            yield self.process.database.connect()
        for user_id, lines in body["events"]:
            cart = self._store.items.get(user_id, {})
            for goods_id, _count in lines:
                cart.pop(goods_id, None)
            self._store.advance(user_id)
        yield self.committed
        return 200, {}, None


class OrderBusiness:
    """What the order service holds for a transaction."""

    def __init__(self, store: OrderStore, clock: Kernel, replica: str) -> None:
        self._store, self._clock, self._replica = store, clock, replica

    def reach_out(self, action: Action, gid: str, kind: str, payload: Payload) -> None:
        """Nothing to do elsewhere."""

    def change(self, action: Action, gid: str, kind: str, payload: Payload, outside: Any) -> Change:
        """Hold the order and its stock, finish them, or give them back."""
        order = self._store.orders.get(payload.order_no)
        if action is RESERVE:
            return self._reserve(gid, kind, payload, order)
        if action is REVOKE:
            return self._revoke(gid, kind, order)
        if order is None or order.holder_gid != gid or order.status != _HELD[kind]:
            if action is CONFIRM:
                raise AssertionError(f"{gid} commits an order that it does not hold: {order}")
            return lambda: None
        if action is CONFIRM:
            return lambda: self._confirm(gid, kind, order)
        return lambda: self._release(kind, order)

    def _reserve(self, gid: str, kind: str, payload: Payload, order: Order | None) -> Change:
        if order is None or order.user_id != payload.user_id:
            raise Refused("order_not_found")
        if (payload.amount_minor, payload.currency) != (order.total_minor, order.currency):
            raise Refused("amount_mismatch")
        if kind == "refund":
            if order.status != "paid" or order.paid_gid != payload.payment_gid:
                raise Refused("order_not_refundable")
            return lambda: self._hold(gid, kind, order)
        if order.status != "pending":
            raise Refused("order_not_payable")
        if any(self._store.stock[goods_id].available_units < count for goods_id, count in order.lines):
            raise Refused("out_of_stock")
        return lambda: self._hold(gid, kind, order)

    def _hold(self, gid: str, kind: str, order: Order) -> None:
        order.status, order.holder_gid = _HELD[kind], gid
        if kind == "payment":
            self._move(order, "available_units", "reserved_units")

    def _confirm(self, gid: str, kind: str, order: Order) -> None:
        order.holder_gid = ""
        what = "order.refunded" if kind == "refund" else "order.paid"
        self._store.events.add(self._replica, what, order.order_no, self._clock.now)
        if kind == "refund":
            order.status, order.refund_gid = "refunded", gid
            self._move(order, "sold_units", "available_units")
        else:
            order.status, order.paid_gid = "paid", gid
            self._move(order, "reserved_units", "sold_units")

    def _release(self, kind: str, order: Order) -> None:
        order.holder_gid = ""
        order.status = "paid" if kind == "refund" else "pending"
        if kind == "payment":
            self._move(order, "reserved_units", "available_units")

    def _revoke(self, gid: str, kind: str, order: Order | None) -> Change:
        """Unsay paid or refunded, as the article's protocol does; nothing, if the order has moved on since."""
        copied = ("refunded", "refund_gid") if kind == "refund" else ("paid", "paid_gid")
        if order is None or (order.status, getattr(order, copied[1])) != (copied[0], gid):
            return lambda: None

        def unsay() -> None:
            order.status = "paid" if kind == "refund" else "pending"
            setattr(order, copied[1], "")
            source, target = (
                ("available_units", "sold_units") if kind == "refund" else ("sold_units", "available_units")
            )
            self._move(order, source, target)

        return unsay

    def _move(self, order: Order, source: str, target: str) -> None:
        for goods_id, count in order.lines:
            stock = self._store.stock[goods_id]
            setattr(stock, source, getattr(stock, source) - count)
            setattr(stock, target, getattr(stock, target) + count)


class OrderService(Service):
    """A replica of the order service."""

    def __init__(self, platform: Platform, replica: Replica, store: OrderStore) -> None:
        super().__init__(platform, replica)
        self._store = store
        interval_ms = platform.plan.setting("order.orphan_interval_ms")
        self._timeout_s = platform.plan.setting_s("http.timeout_ms")
        self._currency = str(platform.plan.setting("gateway.currency"))
        self._list = GoodsList(platform.kernel, platform.plan, replica.door.overloaded)
        self.node = ParticipantNode(
            replica,
            platform.crash_points,
            platform.commit_s,
            store.barrier,
            OrderBusiness(store, platform.kernel, replica.name),
            interval_ms,
            platform.protocol,
        )
        self.routes = {
            "GET /goods": self._goods_list,
            "GET /goods/{goods_id}": self._goods,
            "POST /orders": self._create,
            **participant_routes(platform, self.node),
        }

    def start(self) -> None:
        """Set the timers of what is in doubt; start the outbox relay."""
        self.node.recover()
        look_every(self.platform, self.replica, self._relay)

    def recalls(self, route: str, body: Any) -> bool:
        """Whether the last list of goods will do."""
        return self._list.recalls()

    def _goods_list(self, body: dict[str, Any]) -> Answer:
        return 200, {"goods": sorted(self._store.stock)[:PAGE_SIZE]}, None

    def _goods(self, body: dict[str, Any]) -> Answer:
        stock = self._store.stock.get(body["goods_id"])
        if stock is None:
            return problem(404, "goods_not_found")
        return 200, {"price_minor": price_minor(body["goods_id"]), "available_units": stock.available_units}, None

    def _create(self, body: dict[str, Any]) -> Steps[Answer]:
        user_id = body["user_id"]
        timeout_s = self._timeout_s
        try:
            cart: Reply = yield self.platform.network.call(
                self.replica, "cart", "GET /internal/carts/{user_id}", {"user_id": user_id}, timeout_s
            )
        except (NotSent, Unknown):
            return problem(503, "cart_unavailable")
        if cart.status != 200:
            return problem(503, "cart_unavailable")
        lines = tuple(cart.body["items"])
        if not lines:
            return problem(409, "cart_empty")
        if self.process.database is not None:
            yield self.process.database.connect()
        order = self._insert(user_id, lines)
        yield self.committed
        return 201, {"order_no": order.order_no, "total_minor": order.total_minor, "currency": order.currency}, None

    def _insert(self, user_id: int, lines: tuple[tuple[int, int], ...]) -> Order:
        number = f"order-{len(self._store.orders) + 1:08d}"
        total_minor = sum(price_minor(goods_id) * count for goods_id, count in lines)
        order = Order(number, user_id, lines, total_minor, self._currency, self.platform.kernel.now)
        self._store.orders[number] = order
        writer = self.replica.name
        self._store.events.add(writer, "order.created", number, order.created_s)
        self._store.outbox[len(self._store.orders)] = Ordered(user_id, lines, writer, order.created_s)
        return order

    def _relay(self) -> Steps[None]:
        size_max = int(self.platform.plan.setting("outbox.batch_size_max"))
        writer, orphaned_before_s = self.replica.name, self.platform.kernel.now - ORPHAN_AFTER_S
        waiting = self._store.outbox.items()
        due = (each for each in waiting if each[1].writer == writer or each[1].at_s <= orphaned_before_s)
        batch = list(islice(due, size_max))
        if not batch or self.platform.broker.down:
            return  # events wait in the outbox
        timeout_s = self.platform.plan.setting_s("http.timeout_ms")
        body = {"events": [(ordered.user_id, ordered.lines) for _, ordered in batch]}
        try:
            reply: Reply = yield self.platform.network.call(self.replica, "cart", "POST /events", body, timeout_s)
        except (NotSent, Unknown):
            return  # at least once: the next round sends it again
        if reply.status == 200:
            for number, _event in batch:
                self._store.outbox.pop(number, None)  # another replica may have delivered it too
