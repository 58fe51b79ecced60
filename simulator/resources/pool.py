"""A counted pool (connections, workers): taken, held and given back; who waits too long goes away without."""

from collections import deque
from collections.abc import Callable

from simulator.resources.agenda import Agenda
from simulator.resources.deadlines import Deadlines
from simulator.resources.statistics import Level, Usage

Granted = Callable[[bool], None]


class _Waiter:
    __slots__ = ("granted", "pool", "settled", "since_s")

    def __init__(self, pool: "Pool", granted: Granted, since_s: float) -> None:
        self.pool, self.granted, self.since_s = pool, granted, since_s
        self.settled = False

    def expire(self) -> None:
        self.settled = True
        self.pool.gave_up(self)


class Pool:
    """`size` equal things; who finds none waits in line, at most `wait_s_max`."""

    def __init__(self, agenda: Agenda, name: str, size: int, wait_s_max: float) -> None:
        self._agenda, self.name, self.size = agenda, name, size
        self._deadlines = Deadlines(agenda, wait_s_max)
        self._waiting: deque[_Waiter] = deque()
        self._held, self._queue = Level(), Level()
        self._arrived = self._completed = self._gave_up = self._began = 0
        self._wait_s = self._wait_s_max = 0.0

    @property
    def held(self) -> int:
        """How many are taken now."""
        return self._held.value

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return self._queue.value

    def take(self, granted: Granted) -> None:
        """Calls `granted(True)` when there is one (at once if there is), `granted(False)` when it took too long."""
        now_s = self._agenda.now
        self._arrived += 1
        if self._held.value < self.size:
            self._grant(granted, now_s)
            return
        waiter = _Waiter(self, granted, now_s)
        self._waiting.append(waiter)
        self._queue.add(1, now_s)
        self._deadlines.add(waiter)

    def give_back(self) -> None:
        """One is free again. Raises RuntimeError if none was taken."""
        now_s = self._agenda.now
        if not self._held.value:
            raise RuntimeError(f"{self.name}: more is given back than was taken")
        self._held.add(-1, now_s)
        self._completed += 1
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.settled:
                waiter.settled = True
                self._queue.add(-1, now_s)
                self._grant(waiter.granted, waiter.since_s)
                return

    def gave_up(self, waiter: _Waiter) -> None:
        """Somebody's patience is over."""
        self._queue.add(-1, self._agenda.now)
        self._gave_up += 1
        while self._waiting and self._waiting[0].settled:
            self._waiting.popleft()
        waiter.granted(False)

    def usage(self) -> Usage:
        """Everything since the start; a demand is the time that one was held."""
        now_s = self._agenda.now
        held_s = self._held.area(now_s)
        return Usage(
            self.name, self.size, 0.0, now_s, self._arrived, self._completed, 0, self._gave_up, held_s,
            self._queue.area(now_s), self._queue.highest, self._began, self._wait_s, self._wait_s_max, held_s,
        )  # fmt: skip

    def _grant(self, granted: Granted, since_s: float) -> None:
        now_s = self._agenda.now
        self._held.add(1, now_s)
        self._began += 1
        wait_s = now_s - since_s
        self._wait_s += wait_s
        self._wait_s_max = max(self._wait_s_max, wait_s)
        granted(True)
