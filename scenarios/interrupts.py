"""Ctrl-C, SIGTERM and a closed terminal all end a run the same way: as KeyboardInterrupt, once.

A second signal while the first is being obeyed would break the cleaning up, so it is ignored; SIGKILL remains, and then
the children notice by themselves that the lab is gone. The first may come while something is being stopped anyway; what
stops it holds the signal until it is done.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # SIGHUP does not exist everywhere


def raise_on_signals() -> None:
    """From now on, the first ending signal raises KeyboardInterrupt in the main thread; later ones do nothing."""
    for number in ENDING_SIGNALS:
        # nohup's wish is kept. An ignored SIGINT is not: background jobs of a script start so, and must obey too.
        if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Ending signals that arrive inside are delivered, as one, at its end. So what is inside has to end by itself."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only, and only it may set their handlers
        return
    arrived: list[int] = []
    handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    handlers = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    for number in handlers:
        signal.signal(number, lambda number, frame: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in arrived[:1]:
            signal.raise_signal(number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for each in ENDING_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
