"""Which lab something belongs to, so that what a killed one left can be told from what is in use.

A mark is a process id and when that process was born, since ids are used again: `4242-1795488757`.
"""

from __future__ import annotations

import os
from typing import Final

from scenarios.state import birth_s

# A clock that is set moves all births; a process id does not come round within a minute.
BIRTH_TOLERANCE_S: Final = 60


def own_mark() -> str:
    """The mark of this process."""
    return f"{os.getpid()}-{int(birth_s(os.getpid()) or 0)}"


def is_gone(mark: str) -> bool:
    """Whether the process of a mark does not run any more. What is no mark belongs to nobody we know: False."""
    pid, _, born = mark.partition("-")
    if not (pid.isdecimal() and born.isdecimal()):
        return False
    birth = birth_s(int(pid))
    return birth is None or abs(birth - int(born)) > BIRTH_TOLERANCE_S
