"""The application both servers serve: a trivial route and a route with one durable insert."""

import os
import sqlite3

from fastapi import FastAPI


def create() -> FastAPI:
    """An app factory; the database file comes in as PAYLAB_BENCH_DATABASE."""
    app = FastAPI(openapi_url=None)
    connection = sqlite3.connect(os.environ["PAYLAB_BENCH_DATABASE"], isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, amount_minor INTEGER)")

    @app.get("/trivial")
    async def trivial() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/durable")
    async def durable() -> dict[str, int | None]:
        inserted = connection.execute("INSERT INTO entry (amount_minor) VALUES (?)", (100,))
        return {"id": inserted.lastrowid}

    return app
