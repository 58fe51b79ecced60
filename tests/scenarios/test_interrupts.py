"""Ending signals: one KeyboardInterrupt, and none of it inside what must not be interrupted."""

import signal
import threading
from collections.abc import Iterator

import pytest

from scenarios.interrupts import ENDING_SIGNALS, interrupts_held, raise_on_signals


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING_SIGNALS)
def test_a_held_interrupt_comes_once_after_the_last_step(number: signal.Signals) -> None:
    raise_on_signals()
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_held():
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGINT)
        done.append("last step")
    assert done == ["last step"]
    signal.raise_signal(number)  # one was obeyed: more of them do nothing


def test_an_interrupt_that_was_held_is_not_lost_behind_an_error() -> None:
    raise_on_signals()
    with pytest.raises(KeyboardInterrupt) as caught, interrupts_held():
        signal.raise_signal(signal.SIGTERM)
        raise ValueError
    assert isinstance(caught.value.__context__, ValueError)


def test_without_an_interrupt_everything_is_as_before() -> None:
    before = [signal.getsignal(number) for number in ENDING_SIGNALS]
    with interrupts_held():
        pass
    assert [signal.getsignal(number) for number in ENDING_SIGNALS] == before


def test_a_thread_that_gets_no_signals_has_nothing_to_hold() -> None:
    done = []

    def work() -> None:
        with interrupts_held():
            done.append("work")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["work"]
