"""A container's CPU quota: an allowance for each period of 100 ms (Linux' CFS bandwidth control)."""

PERIOD_S = 0.1


class Allowance:
    """What a process may still work in the period of now, by its quota at that time (cores)."""

    __slots__ = ("_left_s", "_period")

    def __init__(self) -> None:
        self._left_s, self._period = 0.0, -1

    def take(self, demand_s: float, quota: float, now_s: float) -> float | None:
        """So much of `demand_s` may be done now; None: nothing more in this period."""
        period = int(now_s / PERIOD_S + 1e-9)
        if period != self._period:
            self._left_s, self._period = quota * PERIOD_S, period
        if self._left_s <= 0.0:
            return None
        slice_s = min(demand_s, self._left_s)
        self._left_s -= slice_s
        return slice_s

    @property
    def renewed_s(self) -> float:
        """When the next period begins."""
        return (self._period + 1) * PERIOD_S
