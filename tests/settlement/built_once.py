"""What every replica of a service builds at its start, and what comes out the same each time: built once here.

Tests start some two thousand replicas in one process. Each builds the validators of its routes (pydantic) and compiles
its statements (SQLAlchemy) as if it were the first, which was half of what these tests took. A type has one validator
and a statement has one text, whoever asks: so the first of each is made as it always is, and the next replica gets it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import fastapi._compat.v2 as fastapi_fields
import pytest
import sqlalchemy as sa
from pydantic import TypeAdapter

from settlement.chassis import prepared, sqlite


def build_once(patch: pytest.MonkeyPatch) -> None:
    """From here on replicas share validators and compiled statements."""
    patch.setattr(fastapi_fields, "TypeAdapter", _shared_adapters())
    patch.setattr(sqlite, "_engine", _of_one_dialect(sqlite._engine))
    patch.setattr(prepared, "_prepared", _prepared_once(prepared._prepared))


def _shared_adapters() -> Callable[..., TypeAdapter[Any]]:
    """By the type itself and what is said about it: a bound, a pattern, a default."""
    adapters: dict[tuple[Any, ...], TypeAdapter[Any]] = {}

    def adapter(annotated: Any, config: Any = None) -> TypeAdapter[Any]:
        key = (annotated.__origin__, repr(annotated.__metadata__), repr(config))
        if key not in adapters:
            adapters[key] = TypeAdapter(annotated, config=config)
        return adapters[key]

    return adapter


def _of_one_dialect(engine_of: Callable[[Path, str], sa.Engine]) -> Callable[[Path, str], sa.Engine]:
    """Whoever speaks the same dialect can use the same compiled statements; SQLAlchemy keeps them by dialect."""
    dialects: list[sa.Dialect] = []
    compiled: dict[Any, Any] = {}

    def engine(path: Path, synchronous: str) -> sa.Engine:
        made = engine_of(path, synchronous)
        dialects.append(made.dialect)
        del dialects[1:]
        (made.dialect,) = dialects
        made.pool._dialect = made.dialect
        made._compiled_cache = compiled
        return made

    return engine


def _prepared_once(prepare: Callable[..., Any]) -> Callable[..., Any]:
    made: WeakKeyDictionary[sa.Executable, dict[tuple[str, ...], Any]] = WeakKeyDictionary()

    def prepared_once(statement: sa.Executable, names: tuple[str, ...], dialect: sa.Dialect) -> Any:
        known = made.setdefault(statement, {})
        if names not in known:
            known[names] = prepare(statement, names, dialect)
        return known[names]

    return prepared_once
