"""How much may be going on at once. Whoever finds it full is turned away at once: there is no queue.

A queue in front of a full service only makes everybody late; by Little's law what is in progress, divided by the
latency, is the throughput, so a bound on what is in progress bounds the latency without knowing the capacity.

Three limits, and a gate that applies one of them:

- `Fixed`: a number.
- `Gradient`: finds the number by itself. Gradient2 of Netflix' concurrency-limits (Gradient2Limit.java; Landau,
  Thurston, Bozarth, "Performance Under Load", 2018): while the latency of now stays near its long-term average the
  limit grows by `queue` a window, and shrinks in proportion when it rises beyond `tolerance` times that.
- `Aimd`: keeps the latency below a bound known in advance, a deadline for example: one more per limit of answers in
  time, a third less for a late one, at most once per latency (Chiu and Jain, "Analysis of the Increase and Decrease
  Algorithms for Congestion Avoidance", 1989; TCP).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

WINDOW_MS: Final = 100.0
WINDOW_SAMPLES_MIN: Final = 10
LONG_TERM_WINDOWS: Final = 600
WARM_UP_WINDOWS: Final = 10


class Limit(Protocol):
    """How many may be in progress, learned from those that have ended."""

    @property
    def value(self) -> int:
        """At least 1."""
        ...

    def ended(self, latency_ms: float, in_progress: int, now_ms: float) -> None:
        """One has ended after `latency_ms`; `in_progress` counts it in."""
        ...


class Fixed:
    """A limit that stays."""

    def __init__(self, value: int) -> None:
        self.value = value

    def ended(self, latency_ms: float, in_progress: int, now_ms: float) -> None:
        """Nothing is learned."""


class Gradient:
    """Follows the ratio of the long-term latency to that of the last window."""

    def __init__(
        self,
        value_max: int,
        value_min: int = 20,
        *,
        queue: float = 4.0,
        tolerance: float = 1.5,
        smoothing: float = 0.2,
    ) -> None:
        self._value_max = value_max
        self._value_min = min(value_min, value_max)
        self._queue = queue
        self._tolerance = tolerance
        self._smoothing = smoothing
        # From above: a replica that has just started must not turn away what it could do.
        self._estimate = float(value_max)
        self._long_ms = 0.0
        self._windows = 0
        self._began_ms: float | None = None
        self._sum_ms = 0.0
        self._samples = 0
        self._in_progress_max = 0

    @property
    def value(self) -> int:
        """The estimate, rounded down."""
        return int(self._estimate)

    def ended(self, latency_ms: float, in_progress: int, now_ms: float) -> None:
        """Count one; at the end of a window, estimate anew."""
        if self._began_ms is None:
            self._began_ms = now_ms
        self._sum_ms += latency_ms
        self._samples += 1
        self._in_progress_max = max(self._in_progress_max, in_progress)
        if now_ms - self._began_ms >= WINDOW_MS and self._samples >= WINDOW_SAMPLES_MIN:
            self._window_ended(max(0.001, self._sum_ms / self._samples), self._in_progress_max)
            self._began_ms, self._sum_ms, self._samples, self._in_progress_max = now_ms, 0.0, 0, 0

    def _window_ended(self, short_ms: float, in_progress: int) -> None:
        self._windows += 1
        weight = 1 / self._windows if self._windows <= WARM_UP_WINDOWS else 2 / (LONG_TERM_WINDOWS + 1)
        self._long_ms += (short_ms - self._long_ms) * weight
        # After a long overload the average would take minutes to come down by itself.
        if self._long_ms > 2 * short_ms:
            self._long_ms *= 0.9
        if in_progress < self._estimate / 2:
            return  # Whoever does not use the limit learns nothing about it.
        gradient = max(0.5, min(1.0, self._tolerance * self._long_ms / short_ms))
        wanted = self._estimate * gradient + self._queue
        smoothed = self._estimate * (1 - self._smoothing) + wanted * self._smoothing
        self._estimate = max(float(self._value_min), min(float(self._value_max), smoothed))


class Aimd:
    """Keeps the latency below `latency_ms_max`, which is asked for anew at every end: it may be a setting."""

    def __init__(
        self, value_max: int, latency_ms_max: Callable[[], float], value_min: int = 8, decrease: float = 2 / 3
    ) -> None:
        self._value_max = value_max
        self._value_min = min(value_min, value_max)
        self._latency_ms_max = latency_ms_max
        self._decrease = decrease
        self._estimate = float(value_max)
        self._decreased_at_ms = float("-inf")

    @property
    def value(self) -> int:
        """The estimate, rounded down."""
        return int(self._estimate)

    def ended(self, latency_ms: float, in_progress: int, now_ms: float) -> None:
        """Late: decrease, unless it began before the last decrease and so could not know of it. In time: increase."""
        if latency_ms > self._latency_ms_max():
            # With so few in progress, it is not their number that makes them late.
            if in_progress > self._value_min and now_ms - latency_ms >= self._decreased_at_ms:
                # From what really was in progress: a limit far above that would take long to come down to it.
                smaller = min(self._estimate, float(in_progress)) * self._decrease
                self._estimate = max(float(self._value_min), smaller)
                self._decreased_at_ms = now_ms
        elif in_progress >= self._estimate / 2:
            self._estimate = min(float(self._value_max), self._estimate + 1 / self._estimate)


class Gate:
    """Counts what is in progress and turns away what is too much."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self.in_progress = 0
        self.turned_away = 0

    @property
    def limit(self) -> int:
        """How many may be in progress now."""
        return self._limit.value

    def follow(self, limit: Limit) -> None:
        """Apply another limit from here on; what is in progress stays."""
        self._limit = limit

    def try_enter(self) -> bool:
        """Whether one more may begin; if so it must `leave`."""
        if self.in_progress >= self._limit.value:
            self.turned_away += 1
            return False
        self.in_progress += 1
        return True

    def leave(self, latency_ms: float, now_ms: float) -> None:
        """One has ended, however, after `latency_ms`."""
        self._limit.ended(latency_ms, self.in_progress, now_ms)
        self.in_progress -= 1
