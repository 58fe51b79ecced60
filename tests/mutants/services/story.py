"""A round for people: what customer, network and the dead did, and what the services wrote, in order of time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from scenarios.history import History

from .rounds import Round

Line = tuple[int, str]
"""When (epoch milliseconds), and what."""


@dataclass(frozen=True)
class Told:
    """A round that was played, when it began, and what was said meanwhile."""

    round: Round
    began_ms: int
    lines: tuple[Line, ...]


def lines_of(told: Told, keys: Collection[str], history: History, epoch_ms: int) -> list[str]:
    """The lines of a round, with what was recorded of the transactions that were begun with these keys."""
    recorded = ((epoch_ms + round(1_000 * row["at_s"]), _recorded(row)) for row in _rows(history, keys, told, epoch_ms))
    lines = sorted((*told.lines, *recorded), key=lambda line: line[0])
    return [f"  {at_ms - told.began_ms:5d} ms  {what}" for at_ms, what in lines]


def _rows(history: History, keys: Collection[str], told: Told, epoch_ms: int) -> Iterator[dict[str, Any]]:
    """A transaction without a key is one that no gateway has begun: told if it falls into the round."""
    last_s = (max((at_ms for at_ms, _ in told.lines), default=told.began_ms) - epoch_ms) / 1_000
    for row in history["transactions"].to_dict("records"):
        begun_in_it = not row["key"] and (told.began_ms - epoch_ms) / 1_000 <= row["at_s"] <= last_s
        if (row["key"] in keys or begun_in_it) and row["at_s"] == row["at_s"]:
            yield {str(name): value for name, value in row.items()}


def _recorded(row: dict[str, Any]) -> str:
    about = f"{row['kind']} {row['gid'][:5]}..{row['gid'][-4:]}"
    return f"{row['role']} writes: {about} {row['event']} {row['value']}".rstrip()
