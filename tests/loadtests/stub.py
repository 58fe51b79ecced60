"""A whole platform in one small server: it keeps its promises, except for what a test tells it to break."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SERVICES = ("usercenter", "cart", "order", "gateway")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Stub:
    """What the server does wrong, and what it saw."""

    stall_at_request: int = 0  # the n-th client request outside the usercenter stalls everybody ...
    stall_s: float = 0.0  # ... for this long
    lose_replies: int = 0  # so many answers to each payment key are executed and never sent
    reset: bool = False  # lost answers: close the connection instead of keeping silent
    torn: bool = False  # lost answers: close it between the headers and the body
    processing_polls: int = 0  # so many times a payment is still processing
    decline: bool = False
    break_orders: bool = False
    session_ms: int = 3_600_000  # how long a log-in is good
    address: str = ""
    stalled_s: float = 0.0  # how long it really was: a stub may stand still on its own account
    requests: list[tuple[str, str]] = field(default_factory=list)
    traceparents: list[str] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)  # of each idempotency key
    executed: dict[str, str] = field(default_factory=dict)  # idempotency key -> gid
    carts: dict[str, dict[str, int]] = field(default_factory=dict)
    open_journeys: Counter[str] = field(default_factory=Counter)
    mixed_carts: int = 0
    accounts: int = 0
    log_ins: int = 0

    async def registry(self, _: web.Request) -> web.Response:
        entry = {"address": self.address, "version": "1"}
        services = {name: [{"replica": f"{name}-0", **entry}] for name in SERVICES}
        return web.json_response({"version": 1, "services": services})

    async def captcha(self, _: web.Request) -> web.Response:
        return web.json_response({"captcha_id": "c", "question": "3 + 9"})

    async def users(self, request: web.Request) -> web.Response:
        answer = (await request.json())["captcha_answer"]
        if str(answer) != "12":
            return web.json_response({"code": "captcha_wrong"}, status=422)
        self.accounts += 1
        return web.json_response({"user_id": self.accounts}, status=201)

    async def sessions(self, request: web.Request) -> web.Response:
        login = (await request.json())["login"]
        self.log_ins += 1
        expires_at_ms = int(1000 * time.time()) + self.session_ms
        body = {"token": login, "user_id": self.accounts, "expires_at_ms": expires_at_ms}
        return web.json_response(body, status=201)

    async def goods_list(self, _: web.Request) -> web.Response:
        return web.json_response({"goods": [{"goods_id": 1}, {"goods_id": 2}], "next_after": None})

    async def goods(self, request: web.Request) -> web.Response:
        return web.json_response({"goods_id": int(request.match_info["goods_id"]), "price_minor": 500})

    async def cart_get(self, request: web.Request) -> web.Response:
        return web.json_response({"items": self.carts.get(_user(request), {})})

    async def cart_put(self, request: web.Request) -> web.Response:
        cart = self.carts.setdefault(_user(request), {})
        if cart:
            self.mixed_carts += 1
        cart[request.match_info["goods_id"]] = (await request.json())["count"]
        return web.json_response({})

    async def order_create(self, request: web.Request) -> web.Response:
        if self.break_orders:
            return web.json_response({"code": "broken"}, status=500)
        if not (cart := self.carts.pop(_user(request), {})):
            return web.json_response({"code": "cart_empty"}, status=409)
        body = {"order_no": f"o{len(self.requests)}", "total_minor": 500 * sum(cart.values()), "currency": "CNY"}
        return web.json_response(body, status=201)

    async def pay(self, request: web.Request) -> web.StreamResponse:
        key = request.headers["Idempotency-Key"]
        self.attempts[key] += 1
        if self.decline:
            return web.json_response({"code": "declined", "status": "failed", "gid": "g0"}, status=402)
        gid = self.executed.setdefault(key, f"g{len(self.executed) + 1}")
        if self.attempts[key] <= self.lose_replies:
            await self._lose(request)
        status = "processing" if self.processing_polls else "succeeded"
        return web.json_response({"gid": gid, "status": status}, status=201)

    async def _lose(self, request: web.Request) -> None:
        if self.torn and request.transport is not None:
            request.transport.write(b"HTTP/1.1 201 Created\r\nContent-Length: 30\r\n\r\n")
            request.transport.close()
        if self.reset and request.transport is not None:
            request.transport.abort()
        await asyncio.Event().wait()

    async def poll(self, request: web.Request) -> web.Response:
        gid = request.match_info["gid"]
        self.attempts[gid] += 1
        status = "processing" if self.attempts[gid] < self.processing_polls else "succeeded"
        return web.json_response({"gid": gid, "status": status})

    def application(self) -> web.Application:
        """All routes, behind the stall."""
        app = web.Application(middlewares=[self._stalling()])
        app.add_routes(
            [
                web.get("/registry", self.registry),
                web.post("/captcha", self.captcha),
                web.post("/users", self.users),
                web.post("/sessions", self.sessions),
                web.get("/goods", self.goods_list),
                web.get("/goods/{goods_id}", self.goods),
                web.get("/cart", self.cart_get),
                web.put("/cart/items/{goods_id}", self.cart_put),
                web.post("/orders", self.order_create),
                web.post("/payments", self.pay),
                web.post("/payments/{gid}/refunds", self.pay),
                web.get("/payments/{gid}", self.poll),
                web.get("/refunds/{gid}", self.poll),
            ]
        )
        return app

    def _stalling(self) -> Any:
        began_s = stalled_until_s = 0.0

        @web.middleware
        async def stalling(request: web.Request, handler: Handler) -> web.StreamResponse:
            nonlocal began_s, stalled_until_s
            if "Authorization" in request.headers:
                clock = asyncio.get_running_loop().time
                now_s = clock()
                self.requests.append((request.method, request.path))
                self.traceparents.append(request.headers.get("traceparent", ""))
                if len(self.requests) == self.stall_at_request:
                    began_s, stalled_until_s = now_s, now_s + self.stall_s
                if stalled_until_s > now_s:
                    await asyncio.sleep(stalled_until_s - now_s)
                    self.stalled_s = max(self.stalled_s, clock() - began_s)
            answer = await handler(request)
            answer.headers["Paylab-Replica"] = "stub-0"
            return answer

        return stalling


def _user(request: web.Request) -> str:
    return request.headers["Authorization"]


@contextmanager
def serving(stub: Stub) -> Iterator[Stub]:
    """Serve the stub on an ephemeral loopback port from a thread of its own."""
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(stub.application(), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        stub.address = f"http://{host}:{port}"
        started.set()
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(10)
    try:
        yield stub
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def records(text: str) -> list[dict[str, Any]]:
    """The lines of a .jsonl file."""
    return [json.loads(line) for line in text.splitlines()]
