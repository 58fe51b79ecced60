"""The cells of the crash-point matrix: who dies, at which step of the protocol, and how it comes back.

Rows come from the transition tables, so a new rule of the protocol is a new row without anybody's doing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import product
from typing import Final

from scenarios.errors import LabError
from settlement.protocol.crashpoints import COORDINATOR_POINTS, PARTICIPANT_POINTS
from settlement.topology import PARTICIPANTS

COORDINATOR: Final = "gateway"
POINTS: Final = {COORDINATOR: COORDINATOR_POINTS, **dict.fromkeys(PARTICIPANTS, PARTICIPANT_POINTS)}
"""The crash points that each service passes."""

UNREACHABLE: Final = {
    (COORDINATOR, "coordinator.initial.reply.*"): (
        "The answer to a question about a payment that never began. Only who prepared asks, and the record of the "
        "beginning is durable before anybody is asked to prepare."
    ),
    ("order", "participant.initial.reply.*"): (
        "The refusal after a reservation whose outcome outside is uncertain. An order holds nothing outside."
    ),
}
"""What no run of the platform comes by, and why; `paylab explore` knows every step that can be reached."""


class Return(StrEnum):
    """How the dead replica comes back."""

    QUICK = "quick"
    """At once."""
    LATE = "late"
    """After its lease has run out."""
    NEVER = "never"
    """Not while the cell lasts: another replica takes over."""


@dataclass(frozen=True)
class Cell:
    """One experiment: `service`-0 dies when it next passes `point`, and returns as `comes_back` says."""

    service: str
    point: str
    comes_back: Return

    def is_like(self, service: str, point: str) -> bool:
        """Whether both match the shell patterns."""
        return fnmatchcase(self.service, service) and fnmatchcase(self.point, point)


class NoSuchCells(LabError):
    """Patterns that no cell matches."""


def cells(services: str = "*", points: str = "*", returns: str = "*") -> list[Cell]:
    """All cells that can be reached and match the shell patterns. Raises NoSuchCells if there is none."""
    found = [cell for cell in _all() if cell.is_like(services, points) and fnmatchcase(cell.comes_back, returns)]
    if not found:
        raise NoSuchCells(
            f"no cell has a service like {services!r}, a point like {points!r} and a return like {returns!r}; "
            f"services: {', '.join(POINTS)}; returns: {', '.join(Return)}; points: as `paylab schema` lists them"
        )
    return found


def _all() -> Iterator[Cell]:
    for comes_back, (service, points) in product(Return, POINTS.items()):
        for cell in (Cell(service, point, comes_back) for point in points):
            if not any(cell.is_like(*patterns) for patterns in UNREACHABLE):
                yield cell
