"""The five services of the floor, and the desk that answers for the registry and the usercenter."""

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from fastapi import FastAPI, Request

Body = dict[str, Any]
RELAY_INTERVAL_S = 0.2
CHANNEL_CALLS = {"card": ("authorize", "capture"), "wallet": ("pay", None), "balance": (None, None)}


class Store:
    """One SQLite file; every `commit` is durable when it returns."""

    def __init__(self, service: str) -> None:
        self._connection = sqlite3.connect(Path(os.environ["FLOOR_DATA"]) / f"{service}.sqlite", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("CREATE TABLE entry (key TEXT PRIMARY KEY, state TEXT, body TEXT)")

    def commit(self, key: str, state: str, body: object = None) -> None:
        """Insert or change one row."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(
            "INSERT INTO entry VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET state = excluded.state",
            (key, state, json.dumps(body)),
        )
        self._connection.execute("COMMIT")

    def read(self, key: str) -> Any:
        """The body of a row, or None."""
        row = self._connection.execute("SELECT body FROM entry WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])


class Peers:
    """Calls to the other services over keep-alive connections."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = json.loads(os.environ["FLOOR_PEERS"])
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Open for as long as the app serves."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3.0)) as self._session:
            yield

    async def call(self, service: str, method: str, path: str, body: Body | None = None) -> Body:
        """One call; raises aiohttp.ClientError if it is not answered with 2xx."""
        assert self._session is not None
        async with self._session.request(method, self._addresses[service] + path, json=body) as reply:
            reply.raise_for_status()
            answer: Body = await reply.json()
            return answer


def desk() -> FastAPI:
    """Registry and usercenter: everybody who knocks gets an account."""
    app = FastAPI(openapi_url=None)
    addresses: dict[str, str] = json.loads(os.environ["FLOOR_PEERS"])

    @app.get("/registry")
    async def registry() -> Body:
        services = {name: [{"replica": f"{name}-0", "address": address}] for name, address in addresses.items()}
        return {"version": 1, "services": services}

    @app.post("/captcha")
    async def captcha() -> Body:
        return {"captcha_id": "1", "question": "1 + 1"}

    @app.post("/users")
    async def users(body: Body) -> Body:
        return {"user_id": 1, "name": body["name"]}

    @app.post("/sessions")
    async def sessions(body: Body) -> Body:
        return {"token": body["login"], "user_id": 1, "expires_at_ms": 2**53}

    return app


def cart() -> FastAPI:
    """The cart of each user, one row a user."""
    app, store = FastAPI(openapi_url=None), Store("cart")

    @app.put("/cart/items/{goods_id}")
    async def put(goods_id: int, body: Body, request: Request) -> Body:
        store.commit(request.headers["authorization"], "full", {"goods_id": goods_id, "count": body["count"]})
        return {"goods_id": goods_id, "count": body["count"]}

    @app.get("/internal/carts/{user}")
    async def read(user: str) -> Body:
        return {"items": [store.read(user)]}

    @app.post("/events")
    async def events(body: Body) -> Body:
        store.commit("events", "consumed", body["events"][-1])
        return {"accepted": len(body["events"])}

    return app


def order() -> FastAPI:
    """Goods, orders, and the first participant."""
    store, peers = Store("order"), Peers()
    created: list[str] = []

    async def relay() -> None:
        while True:
            await asyncio.sleep(RELAY_INTERVAL_S)
            if batch := created.copy():
                created.clear()
                await peers.call("cart", "POST", "/events", {"events": batch})
                store.commit("relay", "delivered", len(batch))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with peers.lifespan(app):
            relaying = asyncio.create_task(relay())
            yield
            relaying.cancel()

    app = FastAPI(openapi_url=None, lifespan=lifespan)
    for goods_id in range(1, 51):
        store.commit(f"goods-{goods_id}", "on sale", {"goods_id": goods_id, "price_minor": 100})

    @app.get("/goods/{goods_id}")
    async def goods(goods_id: int) -> Any:
        return store.read(f"goods-{goods_id}")

    @app.post("/orders", status_code=201)
    async def create(body: Body, request: Request) -> Body:
        content = await peers.call("cart", "GET", f"/internal/carts/{request.headers['authorization']}")
        item = content["items"][0]
        total_minor = store.read(f"goods-{item['goods_id']}")["price_minor"] * item["count"]
        order_no = os.urandom(12).hex()
        made = {"order_no": order_no, "total_minor": total_minor, "currency": "CNY", "status": "pending"}
        store.commit(order_no, "pending", made | body)
        created.append(order_no)
        return made

    _participate(app, store, _nothing_outside)
    return app


def payment() -> FastAPI:
    """The second participant, with a channel behind it."""
    store, peers = Store("payment"), Peers()
    app = FastAPI(openapi_url=None, lifespan=peers.lifespan)

    async def outside(body: Body, phase: int) -> None:
        if name := CHANNEL_CALLS[body["method"]][phase]:
            await peers.call("channel", "POST", f"/{name}", {"out_trade_no": body["gid"]})

    _participate(app, store, outside)
    return app


def _participate(app: FastAPI, store: Store, outside: Callable[[Body, int], Any]) -> None:
    @app.post("/participant/prepare")
    async def prepare(body: Body) -> Body:
        await outside(body, 0)
        store.commit(body["gid"], "prepared", body)
        return {"vote": "yes"}

    @app.post("/participant/decision")
    async def decision(body: Body) -> Body:
        await outside(body, 1)
        store.commit(body["gid"], "committed", body)
        return {"ack": True}


async def _nothing_outside(_: Body, __: int) -> None:
    return None


def gateway() -> FastAPI:
    """Asks both, decides, answers, tells both."""
    store, peers = Store("gateway"), Peers()
    app = FastAPI(openapi_url=None, lifespan=peers.lifespan)
    completions: set[asyncio.Task[None]] = set()

    async def ask_both(phase: str, body: Body) -> list[Body]:
        path = f"/participant/{phase}"
        return await asyncio.gather(*(peers.call(name, "POST", path, body) for name in ("order", "payment")))

    async def complete(body: Body) -> None:
        await ask_both("decision", body)
        store.commit(body["gid"], "closed")

    @app.post("/payments", status_code=201)
    async def pay(body: Body) -> Body:
        gid = os.urandom(16).hex()
        told = {"gid": gid, **body}
        store.commit(gid, "preparing", told)
        votes = await ask_both("prepare", told)
        assert all(vote["vote"] == "yes" for vote in votes)
        store.commit(gid, "decided")
        completion = asyncio.create_task(complete(told))
        completions.add(completion)
        completion.add_done_callback(completions.discard)
        return {"gid": gid, "status": "succeeded", **body}

    return app


def channel() -> FastAPI:
    """The bank."""
    app, store = FastAPI(openapi_url=None), Store("channel")

    @app.post("/{name}")
    async def act(name: str, body: Body) -> Body:
        store.commit(body["out_trade_no"], name, body)
        return {"state": name}

    return app
