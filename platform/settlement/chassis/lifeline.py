"""When to stop: a signal, the end of the parent's pipe, or the death of the parent."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import stat
import sys
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """Ask Linux for SIGKILL at the parent's death; elsewhere the end of standard input has to do."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died in between: nobody will tell us any more
        os.kill(os.getpid(), signal.SIGKILL)


def on_stop(loop: asyncio.AbstractEventLoop, stop: Callable[[str], None]) -> None:
    """Call `stop(reason)` at SIGTERM, SIGINT, or the end of standard input if that is a pipe."""
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, signal.Signals(number).name)
    if _stdin_is_pipe():
        loop.add_reader(sys.stdin.fileno(), _at_end_of_input, loop, stop)


def _stdin_is_pipe() -> bool:
    # A terminal or /dev/null says nothing about a parent: started by hand, a service runs until it is told to stop.
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _at_end_of_input(loop: asyncio.AbstractEventLoop, stop: Callable[[str], None]) -> None:
    try:
        ended = os.read(0, 4_096) == b""
    except OSError:
        ended = True
    if ended:
        loop.remove_reader(0)
        stop("end of standard input")
