"""One thing has one type, whichever service's table it is in: what one service writes, another can store."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Column, String
from sqlalchemy.dialects import mysql, sqlite

import settlement
from settlement.chassis import dead_letters, inbox, outbox
from settlement.topology import SERVICES

SHORTER = ("orders.order_no",)  # 50 characters, as in the article


def _columns() -> list[Column[Any]]:
    models = [importlib.import_module(f"settlement.services.{service}.model") for service in SERVICES]
    tables = [table for module in (*models, outbox, inbox, dead_letters) for table in module.metadata.sorted_tables]
    return [column for table in tables for column in table.c]


def _has_its_shape(column: Column[Any]) -> bool:
    name, kind = column.name, column.type
    if name.endswith(("_minor", "_ms")):
        return isinstance(kind, BigInteger)  # neither the epoch in ms nor sums of money fit into 32 bits
    if name == "currency":
        return isinstance(kind, String) and kind.length == 3
    if name.endswith(("gid", "_no")) and str(column) not in SHORTER:
        return isinstance(kind, String) and kind.length == 64
    return True


def test_a_column_has_the_shape_that_its_name_promises() -> None:
    columns = _columns()
    assert len(columns) > 300
    assert [str(column) for column in columns if not _has_its_shape(column)] == []


def test_rows_that_the_database_numbers_have_room_for_ever() -> None:
    """SQLite numbers a column by itself only if it is exactly INTEGER; a server needs 64 bits."""
    numbered = {
        str(column): (column.type.compile(sqlite.dialect()), column.type.compile(mysql.dialect()))
        for column in _columns()
        if column is column.table.autoincrement_column and str(column) != "user.id"  # the article's
    }
    assert "orders.id" in numbered
    assert {name for name, types in numbered.items() if types != ("INTEGER", "BIGINT")} == set()


def test_the_shape_of_row_numbers_is_written_once() -> None:
    root = Path(settlement.__file__).parent
    assert [path.name for path in root.rglob("*.py") if ".with_variant(" in path.read_text()] == ["columns.py"]
