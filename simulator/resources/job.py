"""What occupies a core: one piece of work after the other."""

from collections import deque
from collections.abc import Callable, Sequence

NEVER = -1.0


class Core:
    """A core with a queue.

    `job`: who is on it. `turn_of`: whose turn it is, of which `allowance_s` seconds' work are left. `looks_round`: it
    will look who waits elsewhere.
    `course`: what a second's work takes as time passes, `takes_s` what it takes now.
    """

    __slots__ = ("allowance_s", "course", "job", "looks_round", "number", "takes_s", "turn_of", "waiting")

    def __init__(self, number: int, course: Sequence[float]) -> None:
        self.number, self.course, self.takes_s = number, course, course[0]
        self.job: Job | None = None
        self.turn_of: Job | None = None
        self.allowance_s, self.looks_round = 0.0, False
        self.waiting: deque[Job] = deque()


class Job:
    """One piece of work at a time, whose `ended()` is called when it is done; may be used again after that.

    `spent_s`: for how long the last piece occupied a core. `due_s`: when it ends, or its turn, if that is known.

    For cores that are shared (`SharedCores`): `demand_s`, `since_s`, `ends_at_s`, `live`, and `due_s` is NEVER if it is
    not known; an entry of the agenda that finds another time there is out of date. For cores that have queues
    (`RunQueues`): the `core` that it was on last, since when it waits for it (`queued_s`), whether its piece had to
    wait or was interrupted (`stood_in_line`), and if so, else 0: how much is `left_s` of it after this turn, for how
    long it had a core before (`had_s`), and how long it waited (`waited_s`).
    """

    __slots__ = (
        "_then", "core", "demand_s", "due_s", "ends_at_s", "had_s", "left_s", "live", "queued_s", "since_s", "spent_s",
        "stood_in_line", "waited_s",
    )  # fmt: skip

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then
        self.demand_s = self.since_s = self.spent_s = self.ends_at_s = 0.0
        self.had_s = self.left_s = self.queued_s = self.waited_s = 0.0
        self.core = NOWHERE
        self.due_s = NEVER
        self.live = self.stood_in_line = False

    def ended(self) -> None:
        """The piece is done."""
        self._then()


NOWHERE = Core(-1, (1.0,))
"""The core of whoever has not been on any: it is always somebody else's turn there."""
NOWHERE.turn_of = Job(lambda: None)
