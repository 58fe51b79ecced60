"""What occupies a core: one piece of work after the other."""

from collections.abc import Callable

NEVER = -1.0


class Job:
    """One piece of work at a time, that calls `then()` when it is done; may be used again after that.

    `spent_s`: for how long the last piece occupied a core. `due_s`: when the piece, or its turn, ends if that is known,
    else NEVER; an entry of the agenda that finds another time there is out of date. `ends_at_s` is for cores that are
    shared (`SharedCores`); `core`, `queued_s`, `starts_s`, `turn_s` and `left_s` are for cores that have queues
    (`RunQueues`).
    """

    __slots__ = (
        "core", "demand_s", "due_s", "ends_at_s", "left_s", "live", "queued_s", "since_s", "spent_s", "starts_s",
        "then", "turn_s",
    )  # fmt: skip

    def __init__(self, then: Callable[[], None]) -> None:
        self.then = then
        self.demand_s = self.since_s = self.spent_s = self.ends_at_s = 0.0
        self.core, self.starts_s, self.turn_s, self.left_s, self.queued_s = 0, 0.0, 0.0, 0.0, 0.0
        self.due_s = NEVER
        self.live = False
