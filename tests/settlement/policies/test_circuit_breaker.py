"""A breaker opens on a share of failures, lets nothing through while open, and closes only after enough good probes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from settlement.policies.circuit_breaker import TRANSITIONS, CircuitBreaker, Permit, State, Tuning

TUNING = Tuning(failure_share=0.5, calls_min=4, window_ms=1_000, open_ms=100, open_ms_max=300, probes=2)


def _permit(breaker: CircuitBreaker, now_ms: float) -> Permit:
    permit = breaker.ask(now_ms)
    assert permit is not None
    return permit


def _opened(at_ms: float = 0.0, tuning: Tuning = TUNING) -> CircuitBreaker:
    breaker = CircuitBreaker(tuning)
    for _ in range(tuning.calls_min):
        breaker.failed(_permit(breaker, at_ms), at_ms)
    assert breaker.state is State.OPEN
    return breaker


def test_few_failures_prove_nothing() -> None:
    breaker = CircuitBreaker(TUNING)
    for _ in range(3):
        breaker.failed(_permit(breaker, 0), 0)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(("failures", "successes", "state"), [(2, 3, State.CLOSED), (3, 3, State.OPEN)])
def test_the_share_of_failures_counts(failures: int, successes: int, state: State) -> None:
    breaker = CircuitBreaker(TUNING)
    for _ in range(successes):
        breaker.succeeded(_permit(breaker, 0), 0)
    for _ in range(failures):
        breaker.failed(_permit(breaker, 0), 0)
    assert breaker.state is state


def test_what_left_the_window_is_forgotten() -> None:
    breaker = CircuitBreaker(TUNING)
    for _ in range(3):
        breaker.failed(_permit(breaker, 0), 0)
    breaker.failed(_permit(breaker, 1_100), 1_100)
    assert breaker.state is State.CLOSED


def test_after_the_pause_probes_decide() -> None:
    breaker = _opened()
    assert breaker.ask(99) is None
    assert breaker.retry_after_ms(40) == 60
    first, second = _permit(breaker, 100), _permit(breaker, 100)
    assert breaker.state is State.HALF_OPEN
    assert breaker.ask(100) is None, "two probes are on their way"
    breaker.succeeded(first, 101)
    breaker.succeeded(second, 102)
    assert breaker.state is State.CLOSED


def test_a_failed_probe_opens_for_twice_as_long_up_to_a_bound() -> None:
    breaker, now_ms = _opened(), 0.0
    for pause_ms in (100, 200, 300, 300):
        assert breaker.ask(now_ms + pause_ms - 1) is None
        now_ms += pause_ms
        breaker.failed(_permit(breaker, now_ms), now_ms)
        assert breaker.state is State.OPEN


def test_a_probe_that_was_never_made_frees_its_place() -> None:
    breaker = _opened()
    for _ in range(10):
        breaker.abandoned(_permit(breaker, 100))
    assert breaker.ask(100) is not None


def test_news_from_before_the_breaker_opened_say_nothing() -> None:
    breaker = CircuitBreaker(TUNING)
    old = [_permit(breaker, 0) for _ in range(6)]
    for permit in old[:4]:
        breaker.failed(permit, 10)
    probe = _permit(breaker, 200)
    for late in (breaker.succeeded, breaker.failed):
        late(old[4], 200)
    breaker.abandoned(old[5])
    assert breaker.state is State.HALF_OPEN
    breaker.failed(probe, 201)
    assert breaker.state is State.OPEN


def test_switching_it_off_closes_it() -> None:
    breaker = _opened()
    breaker.follow(Tuning(failure_share=0))
    for _ in range(100):
        breaker.failed(_permit(breaker, 1), 1)
    assert breaker.state is State.CLOSED


def test_every_state_can_be_left_and_none_is_entered_twice_by_one_event() -> None:
    assert set(TRANSITIONS) == set(State)
    assert all(target is not state for state, row in TRANSITIONS.items() for target in row.values())


class Breaking(RuleBasedStateMachine):
    """Calls that begin, end well, badly or not at all, in any order."""

    @initialize(probes=st.integers(1, 4), share=st.floats(0.1, 1.0))
    def begin(self, probes: int, share: float) -> None:
        self.tuning = Tuning(
            failure_share=share, calls_min=3, window_ms=500, open_ms=50, open_ms_max=400, probes=probes
        )
        self.breaker = CircuitBreaker(self.tuning)
        self.now_ms = 0.0
        self.open_since_ms: float | None = None
        self.permits: list[tuple[Permit, State]] = []

    def _watch(self) -> None:
        if self.breaker.state is State.OPEN and self.open_since_ms is None:
            self.open_since_ms = self.now_ms
        if self.breaker.state is not State.OPEN:
            self.open_since_ms = None

    @rule(pause_ms=st.integers(0, 200))
    def wait(self, pause_ms: int) -> None:
        self.now_ms += pause_ms

    @rule()
    def ask(self) -> None:
        opened_ms = self.open_since_ms
        permit = self.breaker.ask(self.now_ms)
        if permit is not None:
            if opened_ms is not None:
                assert self.now_ms - opened_ms >= self.tuning.open_ms, "it passed an open breaker"
            self.permits.append((permit, self.breaker.state))
        self._watch()

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), how=st.sampled_from(["succeeded", "failed", "abandoned"]))
    def end(self, data: st.DataObject, how: str) -> None:
        permit, _ = self.permits.pop(data.draw(st.integers(0, len(self.permits) - 1)))
        if how == "abandoned":
            self.breaker.abandoned(permit)
        elif how == "failed":
            self.breaker.failed(permit, self.now_ms)
        else:
            self.breaker.succeeded(permit, self.now_ms)
        self._watch()

    @invariant()
    def few_probes_at_once(self) -> None:
        if hasattr(self, "breaker") and self.breaker.state is State.HALF_OPEN:
            assert 0 <= self.breaker._probing <= self.tuning.probes

    @invariant()
    def never_stuck(self) -> None:
        if hasattr(self, "breaker") and not self.permits:
            assert not self.breaker.is_open(self.now_ms + self.tuning.open_ms_max)


TestBreaking = Breaking.TestCase


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_service_that_answers_is_never_cut_off(outcomes: list[bool]) -> None:
    breaker = CircuitBreaker(Tuning(failure_share=1.0, calls_min=1))
    breaker.succeeded(_permit(breaker, 0), 0)
    for ok in outcomes:
        permit = _permit(breaker, 1)
        (breaker.succeeded if ok else breaker.failed)(permit, 1)
    assert breaker.state is State.CLOSED
