"""Circuit breaker: stop calling a service that keeps failing, and find out carefully when it is back.

Closed: calls pass, and the share of failures among those of the last `window_ms` is watched. Open: nothing passes for
a pause that doubles from time to time of opening. Half open: at most `probes` calls are on their way at once; that many
successes close the breaker, one failure opens it again.

Every call that passes carries a permit. A permit is good for the state it was given in: what a call that began before
the breaker opened learns much later says nothing about the service now. After M. Nygard, "Release It!" (2007), with
the failure-rate window of resilience4j.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SLOTS: Final = 10


class State(StrEnum):
    """What a breaker does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Event(StrEnum):
    """What makes a breaker change its state."""

    TOO_MANY_FAILED = "too_many_failed"
    PAUSE_ENDED = "pause_ended"
    PROBE_FAILED = "probe_failed"
    PROBES_SUCCEEDED = "probes_succeeded"


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.CLOSED: {Event.TOO_MANY_FAILED: State.OPEN},
    State.OPEN: {Event.PAUSE_ENDED: State.HALF_OPEN},
    State.HALF_OPEN: {Event.PROBE_FAILED: State.OPEN, Event.PROBES_SUCCEEDED: State.CLOSED},
}


@dataclass(frozen=True, slots=True)
class Tuning:
    """When to open and for how long.

    `failure_share` of at least `calls_min` calls within `window_ms` opens; 0 keeps the breaker closed for ever. The
    pause is `open_ms` at first and at most `open_ms_max`.
    """

    failure_share: float = 0.5
    calls_min: int = 20
    window_ms: float = 5_000.0
    open_ms: float = 500.0
    open_ms_max: float = 4_000.0
    probes: int = 3


@dataclass(frozen=True, slots=True)
class Permit:
    """One call that may be made; hand it back as succeeded, failed or abandoned, once."""

    epoch: int


@dataclass(slots=True)
class _Slot:
    began_ms: float
    calls: int = 0
    failures: int = 0


class CircuitBreaker:
    """The breaker of one caller for one service."""

    def __init__(self, tuning: Tuning | None = None) -> None:
        self._tuning = tuning or Tuning()
        self._state = State.CLOSED
        self._epoch = 0
        self._slots: deque[_Slot] = deque()
        self._opened_in_row = 0
        self._open_until_ms = 0.0
        self._probing = 0
        self._probes_succeeded = 0

    @property
    def state(self) -> State:
        """As of the last call: an open breaker becomes half open when it is asked after its pause."""
        return self._state

    def follow(self, tuning: Tuning) -> None:
        """Take new values from the settings; a share of 0 closes the breaker at once."""
        self._tuning = tuning
        if tuning.failure_share <= 0 and self._state is not State.CLOSED:
            self._enter(State.CLOSED)

    def ask(self, now_ms: float) -> Permit | None:
        """A permit for one call, or None: do not call."""
        if self._state is State.OPEN and now_ms >= self._open_until_ms:
            self._happened(Event.PAUSE_ENDED, now_ms)
        if self._state is State.OPEN:
            return None
        if self._state is State.HALF_OPEN:
            if self._probing >= self._tuning.probes:
                return None
            self._probing += 1
        return Permit(self._epoch)

    def is_open(self, now_ms: float) -> bool:
        """Whether a call would be refused, without asking for one."""
        if self._state is State.HALF_OPEN:
            return self._probing >= self._tuning.probes
        return self._state is State.OPEN and now_ms < self._open_until_ms

    def retry_after_ms(self, now_ms: float) -> float:
        """How long a refused caller should wait before it asks again."""
        return max(0.0, self._open_until_ms - now_ms) if self._state is State.OPEN else self._tuning.open_ms

    def succeeded(self, permit: Permit, now_ms: float) -> None:
        """The call was answered."""
        if permit.epoch != self._epoch:
            return
        if self._state is State.CLOSED:
            self._slot(now_ms).calls += 1
            return
        self._probing -= 1
        self._probes_succeeded += 1
        if self._probes_succeeded >= self._tuning.probes:
            self._opened_in_row = 0
            self._happened(Event.PROBES_SUCCEEDED, now_ms)

    def failed(self, permit: Permit, now_ms: float) -> None:
        """The call was not answered, or answered with an error of the server."""
        if permit.epoch != self._epoch:
            return
        if self._state is State.HALF_OPEN:
            self._happened(Event.PROBE_FAILED, now_ms)
            return
        slot = self._slot(now_ms)
        slot.calls += 1
        slot.failures += 1
        if self._too_many_failed():
            self._happened(Event.TOO_MANY_FAILED, now_ms)

    def abandoned(self, permit: Permit) -> None:
        """The call ended without saying anything about the service: it was cancelled, or never made."""
        if permit.epoch == self._epoch and self._state is State.HALF_OPEN:
            self._probing -= 1

    def _too_many_failed(self) -> bool:
        calls = sum(slot.calls for slot in self._slots)
        failures = sum(slot.failures for slot in self._slots)
        share = self._tuning.failure_share
        return share > 0 and calls >= self._tuning.calls_min and failures >= share * calls

    def _slot(self, now_ms: float) -> _Slot:
        """The slot that counts now; those that have left the window are dropped."""
        while self._slots and self._slots[0].began_ms <= now_ms - self._tuning.window_ms:
            self._slots.popleft()
        width_ms = self._tuning.window_ms / SLOTS
        if not self._slots or now_ms >= self._slots[-1].began_ms + width_ms:
            self._slots.append(_Slot(now_ms))
        return self._slots[-1]

    def _happened(self, event: Event, now_ms: float) -> None:
        self._enter(TRANSITIONS[self._state][event])
        if self._state is State.OPEN:
            pause_ms = self._tuning.open_ms * 2.0 ** min(self._opened_in_row, 30)
            self._open_until_ms = now_ms + min(self._tuning.open_ms_max, pause_ms)
            self._opened_in_row += 1

    def _enter(self, state: State) -> None:
        self._state = state
        self._epoch += 1
        self._probing = self._probes_succeeded = 0
        self._slots.clear()
