"""What differs between SQLite and MariaDB, written once: statements, and what an error of the server means."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from settlement.chassis.database import Conflicted, ConnectionLost, DatabaseUnavailable

# The server's error numbers. 1205 undoes only the statement; the transaction is given up all the same.
_DEADLOCK, _LOCK_WAIT = 1213, 1205
_OUT_OF_RANGE: Final = 1264
_CHECK_FAILED: Final = 4025
_LOST: Final = frozenset({1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1317, 1927, 2006, 2013, 2014, 2027, 2055})
_UNREACHABLE: Final = frozenset({1040, 1042, 1043, 1129, 1203, 2001, 2002, 2003, 2005, 2012})
# Broken sockets that the driver passes on as they are.
BROKEN: Final = (OSError, EOFError)


def insert_ignore(table: sa.Table) -> sa.Insert:
    """An INSERT that leaves a row alone that is there already: `rowcount` is 1 if it inserted, else 0.

    A server also ignores values that do not fit their columns, so they have to be checked before.
    """
    statement = sa.insert(table).prefix_with("OR IGNORE", dialect="sqlite")
    return statement.prefix_with("IGNORE", dialect="mysql").prefix_with("IGNORE", dialect="mariadb")


def translated(error: DBAPIError) -> Exception:
    """What an error of the server means to us; the error itself if it is the statement's own fault."""
    number = error_number(error)
    if number in (_DEADLOCK, _LOCK_WAIT):
        return Conflicted(str(error.orig))
    if number in _UNREACHABLE:
        return DatabaseUnavailable(str(error.orig))
    if number in _LOST or error.connection_invalidated:
        return ConnectionLost(str(error.orig))
    if number == _OUT_OF_RANGE:
        return OverflowError(str(error.orig))  # as SQLite's driver has it
    if number == _CHECK_FAILED and error.orig is not None:
        return IntegrityError(error.statement, error.params, error.orig, error.hide_parameters)
    return error


def error_number(error: DBAPIError) -> int:
    """The server's (or the driver's) number of an error; 0 if it has none."""
    arguments = error.orig.args if error.orig is not None else ()
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0
