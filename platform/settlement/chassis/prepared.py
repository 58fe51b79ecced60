"""Core statements of the services, compiled once and then executed by SQLite's driver itself.

Around a statement that takes SQLite five microseconds SQLAlchemy spends twenty to thirty: a key for its cache, a
context, a cursor, the description of the result. For some ninety statements a payment that was more than a tenth of
all CPU. So a statement that comes again is compiled for good, to its text and the order of its parameters; values and
rows pass through the same processors of their types as before. What is more than that (a list that becomes part of the
text, defaults, RETURNING) goes SQLAlchemy's own way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.engine import Dialect, IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

from settlement.chassis.database import Parameters

Processor = Callable[[Any], Any]
_NOTHING: Final[Mapping[str, Any]] = {}


class BufferedResult(IteratorResult[Any]):
    """All rows of a statement, and how many it changed."""

    def __init__(self, columns: SimpleResultMetaData, cursor: sqlite3.Cursor) -> None:
        super().__init__(columns, iter(cursor.fetchall()))
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid or 0


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where the value of one place in the text comes from: the parameter `key`, or a constant if that is None."""

    key: str | None
    constant: Any
    processor: Processor | None

    def value(self, given: Mapping[str, Any]) -> Any:
        value = self.constant if self.key is None else given[self.key]
        return value if self.processor is None else self.processor(value)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as the driver takes it."""

    text: str
    slots: tuple[_Slot, ...]
    columns: SimpleResultMetaData

    def execute(self, connection: sqlite3.Connection, parameters: Parameters) -> BufferedResult:
        """Execute it. Raises like SQLAlchemy: sqlalchemy.exc.IntegrityError and the like, OverflowError."""
        try:
            if isinstance(parameters, list | tuple):
                cursor = connection.executemany(self.text, [self._values(each) for each in parameters])
            else:
                cursor = connection.execute(self.text, self._values(cast("Mapping[str, Any]", parameters or _NOTHING)))
            return BufferedResult(self.columns, cursor)
        except sqlite3.Error as error:
            raise DBAPIError.instance(self.text, None, error, sqlite3.Error) from error

    def _values(self, given: Mapping[str, Any]) -> list[Any]:
        return [slot.value(given) for slot in self.slots]


class Statements:
    """The statements of one database that were seen before."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        # By identity, and no longer than the statement itself: most live as long as their module.
        self._seen: WeakKeyDictionary[sa.Executable, dict[tuple[str, ...], Prepared | None]] = WeakKeyDictionary()

    def prepared(self, statement: sa.Executable, parameters: Parameters) -> Prepared | None:
        """The statement, ready for parameters of these names; None if SQLAlchemy has to execute it."""
        ready = self._seen.get(statement)
        if ready is None:
            # It may have been built for this one occasion: compiling it for good would be wasted.
            self._seen[statement] = {}
            return None
        names = tuple(parameters[0] if isinstance(parameters, list | tuple) else parameters) if parameters else ()
        if names not in ready:
            ready[names] = _prepared(statement, names, self._dialect)
        return ready[names]


def _prepared(statement: sa.Executable, names: tuple[str, ...], dialect: Dialect) -> Prepared | None:
    compiled = statement.compile(dialect=dialect, column_keys=list(names))  # type: ignore[attr-defined]
    if not isinstance(compiled, SQLCompiler) or compiled.positiontup is None or not _is_plain(compiled):
        return None
    slots = [_slot(compiled.binds[name], names, dialect) for name in compiled.positiontup]
    if None in slots:
        return None
    return Prepared(compiled.string, tuple(slot for slot in slots if slot is not None), _columns(compiled, dialect))


def _is_plain(compiled: SQLCompiler) -> bool:
    """Whether text, parameters and rows are all there is to it."""
    expanding = compiled.post_compile_params or compiled.literal_execute_params
    defaults = compiled.insert_prefetch or compiled.update_prefetch
    textual = compiled.statement is None or isinstance(compiled.statement, sa.TextClause)
    return not (expanding or defaults or compiled.effective_returning or textual)


def _slot(bind: sa.BindParameter[Any], names: tuple[str, ...], dialect: Dialect) -> _Slot | None:
    """None for a value that has to be computed, or that is missing: SQLAlchemy says so better."""
    processor = bind.type.dialect_impl(dialect).bind_processor(dialect)
    if bind.key in names:
        return _Slot(bind.key, None, processor)
    if bind.required or bind.callable is not None:
        return None
    return _Slot(None, bind.value, processor)


def _columns(compiled: SQLCompiler, dialect: Dialect) -> SimpleResultMetaData:
    entries = compiled._result_columns
    processors = [entry.type.dialect_impl(dialect).result_processor(dialect, None) for entry in entries]
    return SimpleResultMetaData(
        [entry.keyname for entry in entries],
        extra=[entry.objects for entry in entries],
        _processors=processors if any(processors) else None,
    )
