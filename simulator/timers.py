"""Timers of a process: they die with it, and are late if it is paused."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.hosts import Process


class Timer:
    """An action of a process at a later time, unless it is cancelled or the process dies."""

    __slots__ = ("_action", "_incarnation", "_process", "settled")

    def __init__(self, process: "Process", action: Callable[[], None]) -> None:
        self._process, self._incarnation, self._action = process, process.incarnation, action
        self.settled = False

    def cancel(self) -> None:
        """Forget the action."""
        self.settled = True

    def expire(self) -> None:
        """Its time has come."""
        if not self.settled and self._process.incarnation == self._incarnation:
            self.settled = True
            self._process.deliver(self._action)
