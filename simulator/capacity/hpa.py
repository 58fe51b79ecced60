"""Kubernetes' horizontal autoscaler, as its controller decides (autoscaling/v2, default behaviour). Pure.

    desired = ceil(current * metric / target), unless the ratio is within 10 % of 1

Every 15 s. Upwards at most to double or by four replicas a period, whichever is more; downwards only to the highest
recommendation of the stabilisation window (five minutes unless changed).
"""

from collections import deque
from dataclasses import dataclass
from math import ceil

PERIOD_S = 15.0
TOLERANCE = 0.1
UP_FACTOR_MAX, UP_REPLICAS_MAX = 2, 4


@dataclass(frozen=True)
class Tuning:
    """`target`: utilisation that is aimed at; `stabilisation_s`: how long a higher recommendation is remembered."""

    target: float
    stabilisation_s: float = 300.0
    replicas_min: int = 1
    replicas_max: int = 64


class Autoscaler:
    """Decides for one process."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._remembered: deque[tuple[float, int]] = deque()

    def decide(self, now_s: float, replicas: int, utilisation: float) -> int:
        """How many replicas there should be, given how busy those that there are were in the last period."""
        tuning = self._tuning
        wanted = self._recommended(replicas, utilisation)
        self._remembered.append((now_s, wanted))
        while self._remembered[0][0] < now_s - tuning.stabilisation_s:
            self._remembered.popleft()
        if wanted < replicas:
            wanted = min(replicas, max(count for _, count in self._remembered))
        limit = max(UP_FACTOR_MAX * replicas, replicas + UP_REPLICAS_MAX)
        return max(tuning.replicas_min, min(wanted, limit, tuning.replicas_max))

    def _recommended(self, replicas: int, utilisation: float) -> int:
        ratio = utilisation / self._tuning.target
        if abs(ratio - 1) <= TOLERANCE:
            return replicas
        return max(self._tuning.replicas_min, min(self._tuning.replicas_max, ceil(replicas * ratio - 1e-9)))
