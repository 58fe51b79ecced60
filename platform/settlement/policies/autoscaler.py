"""How many replicas: the algorithm of Kubernetes' Horizontal Pod Autoscaler, for one metric.

    desired = ceil(current * metric / target)

Within `tolerance` of the target nothing changes. Upwards a period adds at most as many replicas as there are, or four,
whichever is more. Downwards it goes only to the most that was asked for within the stabilisation window, so that a dip
does not cost replicas that are needed a minute later. (Kubernetes documentation, "Horizontal Pod Autoscaling":
algorithm details, and the default behaviour of `autoscaling/v2`.)
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

SCALE_UP_SHARE_MAX = 1.0
SCALE_UP_REPLICAS_MAX = 4
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Scaling:
    """What is wanted. `target` is the metric's wanted mean over the replicas: a utilisation of 0.6, for example."""

    target: float
    replicas_min: int = 1
    replicas_max: int = 10
    tolerance: float = 0.1
    period_s: float = 15.0
    stabilisation_s: float = 300.0

    def __post_init__(self) -> None:
        """Raises ValueError naming every figure that makes no sense."""
        problems = [
            f"{name}: {value!r} is not above 0"
            for name, value in (("target", self.target), ("period_s", self.period_s))
            if not value > 0
        ]
        if self.replicas_min < 1:
            problems.append(f"replicas_min: {self.replicas_min} is below 1")
        if self.replicas_max < self.replicas_min:
            problems.append(f"replicas_max: {self.replicas_max} is below replicas_min, {self.replicas_min}")
        if not self.tolerance >= 0:
            problems.append(f"tolerance: {self.tolerance!r} is below 0")
        if not self.stabilisation_s >= 0:
            problems.append(f"stabilisation_s: {self.stabilisation_s!r} is below 0")
        if problems:
            raise ValueError("; ".join(problems))


def desired_replicas(current: int, metric: float, target: float, tolerance: float) -> int:
    """What the metric asks for, before any limit. `metric` is the mean over `current` replicas."""
    ratio = metric / target
    if abs(ratio - 1.0) <= tolerance + ROUNDING:
        return current
    # A ratio such as 0.3 / 0.1 is a little more than 3: the ceiling must not make a replica of the rounding error.
    return math.ceil(current * ratio - ROUNDING)


def scale_up_limit(current: int) -> int:
    """The most replicas after one period."""
    return current + max(SCALE_UP_REPLICAS_MAX, math.ceil(current * SCALE_UP_SHARE_MAX))


class Autoscaler:
    """Recommends the number of replicas, once a period; remembers its recommendations of the stabilisation window."""

    def __init__(self, scaling: Scaling) -> None:
        self.scaling = scaling
        self._asked: deque[tuple[float, int]] = deque()

    def recommend(self, current: int, metric: float, now_s: float) -> int:
        """How many there should be now. `metric` is the mean over the `current` replicas that serve."""
        scaling = self.scaling
        if current < 1:
            return scaling.replicas_min
        desired = desired_replicas(current, metric, scaling.target, scaling.tolerance)
        desired = max(scaling.replicas_min, min(scaling.replicas_max, desired))
        while self._asked and self._asked[0][0] <= now_s - scaling.stabilisation_s:
            self._asked.popleft()
        self._asked.append((now_s, desired))
        if desired < current:
            # At most what there is: the window's maximum holds back, it does not scale up.
            desired = min(current, max(asked for _, asked in self._asked))
        return max(scaling.replicas_min, min(desired, scale_up_limit(current), scaling.replicas_max))
