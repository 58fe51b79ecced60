"""A service in miniature: FastAPI, Pydantic, SQLAlchemy and SQLite, called in one thread, without sockets or a disk.

One request to it is the work that the speed probe times. It runs through as much code and memory as a request to a real
service does, and so it feels what those feel: not only who shares the core, but also who has emptied its caches.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import StaticPool
from starlette.types import Message, Scope

CREATED = 201
PATH = "/orders"
LINES = 3
WARM_UP = 20


class Line(BaseModel):
    """One article of an order."""

    article: str
    quantity: int
    price_minor: int


class Order(BaseModel):
    """What a request brings, and what is answered."""

    user: str
    lines: list[Line]


class MiniatureService:
    """It keeps the last order. Make and use it in one thread: event loop and database, in memory, are its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._database = create_engine("sqlite://", poolclass=StaticPool)
        self._app = _application(self._database)
        lines = [Line(article=f"article-{number}", quantity=1, price_minor=1_000) for number in range(LINES)]
        self._body = Order(user="somebody", lines=lines).model_dump_json().encode()
        self._scope = _post(PATH, self._body)

    def __enter__(self) -> MiniatureService:
        try:
            for _ in range(WARM_UP):
                self.request()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def request(self) -> None:
        """Send one order. Raises RuntimeError if it is not taken."""
        status = self._loop.run_until_complete(self._status())
        if status != CREATED:
            raise RuntimeError(f"the service in miniature answered {status}")

    def _close(self) -> None:
        self._database.dispose()
        self._loop.close()

    async def _status(self) -> int:
        statuses: list[int] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": self._body, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await self._app({**self._scope, "state": {}}, receive, send)
        return statuses[0]


def _application(database: Engine) -> FastAPI:
    with database.begin() as connection:
        connection.execute(text("create table orders (number integer primary key, person text, amount_minor integer)"))
    app = FastAPI()

    async def take(order: Order) -> dict[str, object]:
        amount_minor = sum(line.quantity * line.price_minor for line in order.lines)
        with database.begin() as connection:
            kept = {"person": order.user, "amount_minor": amount_minor}
            connection.execute(text("insert or replace into orders values (1, :person, :amount_minor)"), kept)
            found = connection.execute(
                text("select number, amount_minor from orders where person = :person"), kept
            ).one()
        return {
            "number": found.number,
            "amount_minor": found.amount_minor,
            "lines": [line.model_dump() for line in order.lines],
        }

    app.add_api_route(PATH, take, methods=["POST"], status_code=CREATED)
    return app


def _post(path: str, body: bytes) -> Scope:
    headers = {"host": "localhost", "content-type": "application/json", "content-length": str(len(body))}
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
