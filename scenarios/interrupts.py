"""Ctrl-C, SIGTERM and a closed terminal all end a run the same way: as KeyboardInterrupt, once.

A second signal while the first is being obeyed would break the cleaning up, so it is ignored; SIGKILL remains, and then
the children notice by themselves that the lab is gone.
"""

import signal
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


def _interrupt(number: int, frame: FrameType | None) -> None:
    for each in ENDING_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
