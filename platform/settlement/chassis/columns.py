"""The shapes of the columns that all services share: one thing has one type, whichever table it is in.

A column may be empty (NULL) only where it says `optional`.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, String

# SQLite numbers rows by itself only for a column declared exactly INTEGER.
ROW_ID: Final = BigInteger().with_variant(Integer, "sqlite")


def row_id(name: str = "id") -> Column[int]:
    """The primary key of rows that the database numbers."""
    return Column(name, ROW_ID, primary_key=True, autoincrement=True)


def money(name: str = "amount_minor", *, positive: bool = False, optional: bool = False) -> Column[int]:
    """An amount of minor units; `positive` ones are refused by the database if they are not."""
    checks = [CheckConstraint(f"{name} > 0")] if positive else []
    return Column(name, BigInteger, *checks, nullable=optional)


def currency(*, optional: bool = False) -> Column[str]:
    """The ISO 4217 code of the amounts beside it."""
    return word("currency", 3, optional=optional)


def moment(name: str, *, optional: bool = False) -> Column[int]:
    """A time: milliseconds since 1970, UTC."""
    return whole(name, optional=optional)


def reference(name: str, *, optional: bool = False, **more: Any) -> Column[str]:
    """The number of an order, transaction, batch or charge, as it is shown to others."""
    return Column(name, String(64), nullable=optional, **more)


def whole(name: str, *, optional: bool = False) -> Column[int]:
    """A whole number of up to 63 bits: other services' ids, versions."""
    return Column(name, BigInteger, nullable=optional)


def number(name: str) -> Column[int]:
    """A small whole number."""
    return Column(name, Integer, nullable=False)


def word(name: str, length_max: int, *, optional: bool = False) -> Column[str]:
    """A short text."""
    return Column(name, String(length_max), nullable=optional)
