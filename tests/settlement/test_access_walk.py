"""Every route of every service, asked by everybody who may not: no answer has anything of the first user in it.

    pytest tests/settlement/test_access_walk.py -s      prints the table of routes x callers

The first user registers, shops, pays, is refunded and gets messages, through the real services. Then everybody else
knocks at every route with the first user's own numbers: without credentials, with another user's session, with
operators', services' and the fault injector's credentials where they do not belong, and with credentials that are
expired, signed by somebody else or not at all. What the first user sees is the same before and after.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import pytest

from settlement.chassis.security import ALGORITHM, AUDIENCE
from settlement.topology import SERVICES

from .doors import Door, RealRoute, doors_of, routes_of, signed_for
from .money import Shop

FIRST = {"name": "Ada Lovelace", "phone": "13812345678", "email": "ada@first.example", "password": "first-password"}
SECOND = {"name": "Mallory", "phone": "13987654321", "email": "mallory@second.example", "password": "other-password"}
# The walk asks more often than any user would.
UNLIMITED = {f"limit.{caller}_rate_per_s": 0 for caller in ("user", "address", "account", "service")}
REGISTRY_WARMED_MS = 120_000

Credentials = Callable[[RealRoute, str], dict[str, str]]


@dataclass
class World:
    """The running platform, the first user's journey, and what would give the first user away."""

    cluster: Any
    shop: Shop
    first: dict[str, str] = field(default_factory=dict)
    second: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    queries: dict[str, str] = field(default_factory=dict)
    marks: set[str] = field(default_factory=set)
    amount_minor: int = 0

    def url(self, route: RealRoute) -> str:
        """The route's address, with the first user's own numbers in it, or those of what came of the journey."""
        names = dict(self.names)
        if route.path.startswith("/refunds"):
            names["gid"] = names["refund_gid"]
        if route.method == "DELETE":
            # Whoever may remove it would remove it from the rest of the walk.
            names["instance_id"] = names["replica"] = "nobody-0"
        return re.sub(r"\{(\w+)\}", lambda found: names[found[1]], route.path)

    def query(self, route: RealRoute) -> str:
        return self.queries.get(route.name, "")

    def body(self, route: RealRoute) -> Any:
        asked = {"order_no": self.names["unpaid_order_no"], "amount_minor": self.amount_minor, "currency": "CNY"}
        bodies = {
            "POST /sessions": {"login": SECOND["phone"], "password": SECOND["password"]},
            "PATCH /users/me": {"email": "new@second.example"},
            "PUT /cart/items/{goods_id}": {"count": 1},
            "POST /orders": {"items": [{"goods_id": 1, "count": 1}], "pay_method": "card"},
            "POST /payments": {**asked, "method": "card"},
            "POST /payments/{gid}/refunds": {"amount_minor": self.amount_minor},
        }
        return bodies.get(route.name)


async def _account(cluster: Any, user: dict[str, str]) -> dict[str, str]:
    http = cluster.http("usercenter")
    captcha = (await http.post("/captcha")).json()
    left, right = captcha["question"].split(" + ")
    answer = {"captcha_id": captcha["captcha_id"], "captcha_answer": int(left) + int(right)}
    assert (await http.post("/users", json={**user, **answer})).status_code == 201
    session = await http.post("/sessions", json={"login": user["phone"], "password": user["password"]})
    return {"Authorization": f"Bearer {session.json()['token']}", "user_id": str(session.json()["user_id"])}


async def _shopping(world: World) -> None:
    """The first user's journey, with everything that a user can own at the end of it."""
    cluster, shop, user_id = world.cluster, world.shop, int(world.first.pop("user_id"))
    world.second.pop("user_id")
    put = await cluster.http("cart").put("/cart/items/2", json={"count": 3}, headers=world.first)
    assert put.status_code == 200
    order = await shop.order(user_id)
    paid = await shop.pay(order, user_id=user_id, key="first-payment-key")
    await shop.settle()
    refunded = await shop.refund(paid.json()["gid"], order["total_minor"], user_id=user_id, key="first-refund-key")
    await shop.settle()
    assert (paid.status_code, refunded.status_code) == (201, 201)
    world.amount_minor = order["total_minor"]
    # Who tries to pay it is told in a message that it failed; so its number is not one that gives the first user away.
    world.names["unpaid_order_no"] = (await shop.order(user_id))["order_no"]
    world.names |= {"order_no": order["order_no"], "gid": paid.json()["gid"], "refund_gid": refunded.json()["gid"]}
    world.names |= {"user_id": str(user_id), "out_trade_no": paid.json()["gid"]}
    world.queries = {"GET /config/{profile}/diff": "from=0"}
    keys = {"payments": "first-payment-key", "refunds": "first-refund-key"}
    world.queries |= {f"GET /{path}": f"idempotency_key={key}" for path, key in keys.items()}
    world.marks = {world.names[name] for name in ("order_no", "gid", "refund_gid")}
    world.marks |= {*keys.values(), *(FIRST[name] for name in ("name", "phone", "email", "password"))}


async def _everything_else(world: World) -> None:
    """What operators and services have made, so that the rest of the routes name something too."""
    cluster, operator = world.cluster, world.cluster.as_operator()

    async def messages() -> Any:
        page = (await cluster.http("message").get("/messages", headers=world.first)).json()["messages"]
        return page if len(page) >= 3 else None

    world.names["message_id"] = str((await cluster.eventually(messages))[0]["id"])
    lease = {"address": "http://127.0.0.1:1", "version": "1", "lease_ms": 600_000}
    assert (await cluster.call("configcenter", "PUT", "/registry/order/order-0", json=lease)).status == 201
    change = {"values": {"log.level": "INFO"}}
    changed = await cluster.http("configcenter").put("/config/dev", json=change, headers=operator)
    assert changed.status_code == 200
    rule = {"kind": "blocked_users", "user_ids": [2**40]}
    made = await cluster.http("risk").post("/rules", json={"name": "walk", "rule": rule}, headers=operator)
    assert made.status_code == 201
    day = datetime.fromtimestamp(cluster.clock.now_ms() / 1_000, UTC).date().isoformat()
    asked = await cluster.http("reporting").post("/reports", json={"day": day, "kind": "summary"}, headers=operator)
    world.names |= {"report_id": str(asked.json()["report_id"]), "day": day, "name": "walk", "profile": "dev"}
    world.names |= {"version": "1", "service": "order", "replica": "order-0", "goods_id": "2", "batch_id": "b-1"}
    world.names |= {"app": "ORDER", "instance_id": "order-0", "vip": "order"}
    world.names |= dict.fromkeys(("statement_id", "run_id", "difference_id"), "1")


@pytest.fixture
async def world(cluster: Any) -> World:
    """All fourteen services, and the first user's journey."""
    shop = Shop(cluster, dict(UNLIMITED))
    await shop.start("configcenter")
    cluster.clock.advance_ms(REGISTRY_WARMED_MS)
    for service in SERVICES:
        if service != "configcenter":
            await shop.start(service)
    made = World(cluster, shop, await _account(cluster, FIRST), await _account(cluster, SECOND))
    await _shopping(made)
    await _everything_else(made)
    return made


def _routes(world: World) -> list[RealRoute]:
    return [route for service in SERVICES for route in routes_of(world.cluster.replica(f"{service}-0"))]


def _token(world: World, secret: str, algorithm: str = ALGORITHM, ahead_s: int = 3_600) -> dict[str, str]:
    """A session of the first user, as somebody would make one who knows everything but the key."""
    genuine = world.first["Authorization"].removeprefix("Bearer ")
    claims = {"sub": world.names["user_id"], "aud": AUDIENCE}
    claims["exp"] = world.cluster.clock.now_ms() // 1_000 + ahead_s
    kid = jwt.get_unverified_header(genuine)["kid"]
    return {"Authorization": f"Bearer {jwt.encode(claims, secret, algorithm, headers={'kid': kid})}"}


def _signed(world: World, secret: str) -> Credentials:
    return lambda route, target: signed_for(world.cluster, route, target, secret)


def _callers(world: World) -> dict[str, Credentials]:
    """Everybody who knocks, by the heading of their column; the first user comes last."""
    secrets = world.cluster.secrets
    headers = {
        "nobody": {},
        "other user": world.second,
        "expired": _token(world, secrets.jwt, ahead_s=-1),
        "other key": _token(world, "somebody-elses-secret-of-32-bytes"),
        "no signature": _token(world, "", "none"),
        "operator": world.cluster.as_operator(),
        "wrong operator": {"Paylab-Operator-Token": secrets.fault, "Paylab-Fault-Token": secrets.operator},
        "fault": world.cluster.as_fault_operator(),
    }
    callers: dict[str, Credentials] = {name: lambda route, target, h=h: h for name, h in headers.items()}  # type: ignore[misc]
    callers["other service key"] = _signed(world, "somebody-elses-secret-of-32-bytes")
    callers["service"] = _signed(world, secrets.service)
    callers["first user"] = lambda route, target: world.first
    return callers


OPENS = {
    Door.OWN: {"other user", "first user"},
    Door.OBJECT: {"other user", "first user"},
    Door.SERVICE: {"service"},
    Door.OPERATOR: {"operator"},
    Door.FAULT: {"fault"},
    Door.REGISTRY: {"operator"},
}


def _wrong(route: RealRoute, door: Door, caller: str, reply: httpx.Response, marks: set[str]) -> str | None:
    """What is wrong with this answer; None if it is as it should be."""
    status = reply.status_code
    if status >= 500:
        return f"answered {status}"
    if door is not Door.OPEN and caller not in OPENS[door]:
        if status != 401:
            return f"answered {status} instead of 401"
    elif door is Door.OBJECT and caller == "other user":
        if status != 404:
            return f"answered {status} instead of 404"
    elif status in (401, 403):
        return f"refused with {status}, but it is for {door}"
    elif caller == "first user" and route.method == "GET" and status != 200:
        return f"the first user is answered {status}: the walk asks for nothing that exists"
    if caller == "first user" or (caller in ("operator", "service", "fault") and caller in OPENS.get(door, ())):
        return None
    # What the caller has just said is no news to the caller.
    asked = f"{reply.request.url} {reply.request.content.decode()}"
    told = sorted(mark for mark in marks if mark in f"{reply.text} {reply.headers}" and mark not in asked)
    return f"tells the first user's {told}" if told else None


async def _knock(world: World, route: RealRoute, credentials: Credentials) -> httpx.Response:
    url, query = world.url(route), world.query(route)
    target = f"{url}?{query}" if query else url
    signed = credentials(route, target)
    body = None if "paylab-signature" in signed else world.body(route)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    answer: httpx.Response = await world.cluster.http(route.service).request(
        route.method, target, headers={**signed, **key}, json=body
    )
    return answer


async def _seen_by_first(world: World) -> dict[str, Any]:
    """Everything that is the first user's."""
    names = world.names
    views = {
        "usercenter": ("/users/me",),
        "cart": ("/cart",),
        "order": ("/orders", f"/orders/{names['order_no']}"),
        "payment": ("/accounts/me",),
        "gateway": (f"/payments/{names['gid']}", f"/refunds/{names['refund_gid']}"),
        "message": ("/messages", "/messages/unread"),
    }
    return {
        path: (await world.cluster.http(service).get(path, headers=world.first)).json()
        for service, paths in views.items()
        for path in paths
    }


def _print_table(callers: Iterable[str], rows: list[tuple[RealRoute, Door, list[int]]]) -> None:
    widths = {caller: len(caller) + 2 for caller in callers}
    print(f"\n{'service':<15}{'route':<52}{'for':<24}" + "".join(f"{c:>{width}}" for c, width in widths.items()))
    for route, door, statuses in rows:
        told = "".join(f"{status:>{width}}" for status, width in zip(statuses, widths.values(), strict=True))
        print(f"{route.service:<15}{route.name:<52}{door:<24}{told}")
    print(f"{len(rows)} routes, {sum(len(row[2]) for row in rows)} requests")


async def test_no_route_tells_anybody_what_is_not_theirs(world: World) -> None:
    routes, callers = _routes(world), _callers(world)
    before = await _seen_by_first(world)
    statuses: dict[RealRoute, list[int]] = {route: [] for route in routes}
    problems = []
    for caller, credentials in callers.items():
        if caller == "first user":
            assert await _seen_by_first(world) == before, "somebody changed what is the first user's"
        for route in routes:
            reply = await _knock(world, route, credentials)
            statuses[route].append(reply.status_code)
            wrong = _wrong(route, doors_of(route.service)[route.name], caller, reply, world.marks)
            problems += [f"{route.service} {route.name}: {caller}: {wrong}"] if wrong else []
    _print_table(callers, [(r, doors_of(r.service)[r.name], statuses[r]) for r in routes])
    assert problems == [], "\n".join(problems)


@pytest.mark.parametrize("service", SERVICES)
async def test_the_table_has_every_route(cluster: Any, service: str) -> None:
    await cluster.start(service)
    real = [route.name for route in routes_of(cluster.replica(f"{service}-0"))]
    assert sorted(real) == sorted(doors_of(service)), "say in doors.py for whom a new route is"
