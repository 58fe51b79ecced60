"""Statements whose text differs between SQLite and MariaDB, written once."""

from __future__ import annotations

import sqlalchemy as sa


def insert_ignore(table: sa.Table) -> sa.Insert:
    """An INSERT that leaves a row alone that is there already: `rowcount` is 1 if it inserted, else 0.

    A server also ignores values that do not fit their columns, so they have to be checked before.
    """
    statement = sa.insert(table).prefix_with("OR IGNORE", dialect="sqlite")
    return statement.prefix_with("IGNORE", dialect="mysql").prefix_with("IGNORE", dialect="mariadb")
