"""A transaction that a server ends in favour of another is repeated, and happens once: nobody outside notices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa

import settlement
from settlement.chassis.mariadb import MariaTransaction
from tests.mariadb_server import MariaServer

DEADLOCK = sa.text("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213")
DATA_LAYER = {"database.py", "mariadb.py", "sqlite.py"}
Plant = Callable[[str, str], list[str]]


def test_services_leave_repeating_to_the_database() -> None:
    root = Path(settlement.__file__).parent
    found = [
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if ".transaction(" in path.read_text() and not (path.parent.name == "chassis" and path.name in DATA_LAYER)
    ]
    assert found == [], "use database.run or database.write: they repeat what a deadlock ended"


@pytest.fixture(params=["deadlock", "connection lost"])
def plant(request: pytest.FixtureRequest, mariadb: MariaServer, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """`plant(service, text)`: the first transaction with a statement like this fails right after it, on the server.

    Returns a list that is empty once that has happened.
    """
    execute = MariaTransaction.execute
    waiting: list[tuple[str, str]] = []

    async def watched(self: MariaTransaction, statement: Any, parameters: Any = None) -> Any:
        result = await execute(self, statement, parameters)
        if waiting and waiting[0][1] in str(statement):
            service, _ = waiting.pop()
            if request.param == "deadlock":
                await execute(self, DEADLOCK)
            mariadb.kill_connections(service)
            await execute(self, sa.text("SELECT 1"))
        return result

    def armed(service: str, text: str) -> list[Any]:
        waiting.append((service, text))
        return waiting

    monkeypatch.setattr(MariaTransaction, "execute", watched)
    return armed


async def _rows(cluster: Any, service: str, table: str) -> int:
    found = await cluster.replica(f"{service}-0").chassis.database.read(sa.text(f"SELECT COUNT(*) FROM {table}"))
    return int(found[0][0])


async def _register(cluster: Any) -> Any:
    http = cluster.http("usercenter")
    captcha = (await http.post("/captcha")).json()
    left, right = captcha["question"].split(" + ")
    user = {"name": "Ada", "phone": "13800000001", "email": "ada@example.org", "password": "correct horse"}
    answer = {"captcha_id": captcha["captcha_id"], "captcha_answer": int(left) + int(right)}
    return await http.post("/users", json={**user, **answer})


async def _report(cluster: Any) -> Any:
    body = {"day": "2026-01-02", "kind": "summary"}
    return await cluster.http("reporting").post("/reports", json=body, headers=cluster.as_operator())


async def _reconcile(cluster: Any) -> Any:
    body = {"channel": "card", "from_ms": 0, "until_ms": 1_000}
    return await cluster.http("reconciliation").post("/runs", json=body, headers=cluster.as_operator())


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
@pytest.mark.parametrize(
    ("service", "fails_at", "ask", "table"),
    [
        ("usercenter", "DELETE FROM captcha", _register, '"user"'),
        ("usercenter", 'INSERT INTO "user"', _register, '"user"'),
        ("reporting", "INTO reports (", _report, "reports"),
        ("reconciliation", "INSERT INTO runs", _reconcile, "runs"),
    ],
)
async def test_a_transaction_that_failed_before_its_commit_is_repeated_and_happens_once(
    cluster: Any, plant: Plant, service: str, fails_at: str, ask: Callable[[Any], Awaitable[Any]], table: str
) -> None:
    await cluster.start(service)
    left = plant(service, fails_at)
    reply = await ask(cluster)
    assert reply.status_code in (201, 202), reply.text
    assert left == [], "the planted failure never happened"
    assert await _rows(cluster, service, table) == 1


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
async def test_a_real_deadlock_with_another_session_is_not_noticed(cluster: Any, mariadb: MariaServer) -> None:
    """The other session changed more rows, so the server ends ours."""
    await cluster.start("usercenter")
    row = (
        "INSERT INTO usercenter.dead_letters (id, event_id, type, subject, data, occurred_at_ms, traceparent, "
        "attempts, error, failed_at_ms, dead) VALUES ({0}, 'e{0}', 'x', 's', '{{}}', 1, '', 1, '', 1, 1)"
    )
    for number in (1, 2):
        mariadb.admin(row.format(number))
    other = pymysql.connect(unix_socket=str(mariadb.folder / "socket"), user="root", database="usercenter")
    statements = other.cursor()
    for number in range(100, 120):
        statements.execute("INSERT INTO captcha (captcha_id, answer, expires_at_ms) VALUES (%s, 1, 1)", [f"c{number}"])
    statements.execute("UPDATE dead_letters SET error = 'theirs' WHERE id = 2")

    discard = cluster.http("usercenter").post(
        "/operator/dead-letters/discard", json={"event_ids": "all"}, headers=cluster.as_operator()
    )
    asked = asyncio.create_task(discard)

    def waits() -> bool:
        return int(mariadb.admin("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")[0][1]) > 0

    await cluster.eventually(waits)  # it holds the first row, and waits for the second
    await asyncio.to_thread(statements.execute, "UPDATE dead_letters SET error = 'theirs' WHERE id = 1")
    assert not asked.done()
    other.commit()
    other.close()
    assert (await asked).json() == {"discarded": 2, "left": 0}
