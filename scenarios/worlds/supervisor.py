"""Operating-system processes that never outlive the lab.

Theory of operation. Every child is tied to the lab twice: its stdin is a pipe whose other end only the lab holds (end
of file asks for an orderly stop, on every system), and on Linux the kernel kills it when the lab's thread that started
it ends (which also reaches a stopped child, that reads nothing). Children have process groups of their own, so that a
Ctrl-C at the terminal reaches the lab alone, which then stops them in order.

The kernel watches the *thread* that started a child. So a supervisor starts children only from the thread that made it;
that is why the whole world runs on one thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scenarios.worlds.base import WorldError
from scenarios.worlds.real import Death, ServiceEvent, now_ms

LOG_LINES_SHOWN = 12
POLL_INTERVAL_S = 0.02
KILL_DEADLINE_S = 5.0

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

ChildState = Literal["running", "paused", "dead"]


@dataclass(frozen=True)
class Replica:
    """One replica of one service, for instance gateway / gateway-0."""

    service: str
    name: str


@dataclass(frozen=True)
class ChildSpec:
    """What one process runs: the replicas inside it, its command, its environment and its log file."""

    name: str
    replicas: tuple[Replica, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)  # has secrets in it
    log: Path

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the replicas inside."""
        return tuple(replica.name for replica in self.replicas)


@dataclass
class Child:
    """One started process; `started_s`: when its present life began, monotonic."""

    spec: ChildSpec
    process: subprocess.Popen[bytes]
    state: ChildState = "running"
    started_s: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        """Operating-system id of the present life."""
        return self.process.pid


def last_lines(log: Path, count: int = LOG_LINES_SHOWN) -> str:
    """The end of a log file, indented, for an error message."""
    if not log.exists():
        return "    (no log)"
    lines = log.read_text(errors="replace").splitlines()[-count:]
    return "\n".join(f"    {line}" for line in lines) or "    (empty log)"


@dataclass
class Supervisor:
    """Starts, kills, pauses, resumes and restarts children, notices deaths, and leaves nothing behind."""

    children: dict[str, Child] = field(default_factory=dict)
    events: list[ServiceEvent] = field(default_factory=list)
    _thread: int = field(default_factory=threading.get_ident)

    def start(self, spec: ChildSpec) -> Child:
        """Start a process that is not running yet."""
        child = Child(spec, self._spawn(spec))
        self.children[spec.name] = child
        self._record(child, "started")
        return child

    def restart(self, name: str) -> Child:
        """Start a dead process again, with the same command, environment and log."""
        child = self.children[name]
        child.process = self._spawn(child.spec)
        child.state, child.started_s = "running", time.monotonic()
        self._record(child, "restarted")
        return child

    def kill(self, name: str) -> int:
        """SIGKILL and reap; returns the time of death in epoch milliseconds."""
        child = self.children[name]
        child.process.kill()
        child.process.wait(KILL_DEADLINE_S)
        return self._bury(child)

    def pause(self, name: str) -> None:
        """SIGSTOP: the process keeps its sockets and answers nothing."""
        self._signal(self.children[name], signal.SIGSTOP, "paused")

    def resume(self, name: str) -> None:
        """SIGCONT; nothing happens to a child that died meanwhile."""
        self._signal(self.children[name], signal.SIGCONT, "running")

    def deaths(self) -> list[Death]:
        """Processes that ended since the last call without being killed or stopped by this supervisor."""
        alive = [child for child in self.children.values() if child.state != "dead"]
        return [
            Death(child.spec.name, child.spec.names, status, self._bury(child), child.spec.log)
            for child in alive
            if (status := child.process.poll()) is not None
        ]

    def mark_ready(self, name: str, at_ms: int) -> None:
        """Record that every replica of the process answers."""
        self._record(self.children[name], "ready", at_ms)

    def stop(self, names: Iterable[str], deadline_s: float) -> list[str]:
        """Ask these processes to end (SIGTERM), wait, SIGKILL the rest; returns the names that had to be killed."""
        asked = [self.children[name] for name in names if self.children[name].state != "dead"]
        for child in asked:
            child.process.terminate()
            if child.state == "paused":
                child.process.send_signal(signal.SIGCONT)
        wait_until(lambda: all(child.process.poll() is not None for child in asked), deadline_s)
        stubborn = [child for child in asked if child.process.poll() is None]
        for child in asked:
            self._end(child)
        return [child.spec.name for child in stubborn]

    def kill_all(self) -> None:
        """Last resort, never raises for a process that is already gone: nothing is left running."""
        for child in self.children.values():
            if child.state != "dead":
                self._end(child)

    def _end(self, child: Child) -> None:
        if child.process.poll() is None:
            child.process.kill()
        child.process.wait(KILL_DEADLINE_S)
        self._close(child)
        child.state = "dead"
        self._record(child, "stopped")

    def _spawn(self, spec: ChildSpec) -> subprocess.Popen[bytes]:
        if threading.get_ident() != self._thread:
            raise RuntimeError("children are started only from the supervisor's own thread (see the module's text)")
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        with spec.log.open("ab") as log:
            return spawn(spec.command, spec.environment, stdout=log, stderr=log)

    def _signal(self, child: Child, number: signal.Signals, state: ChildState) -> None:
        if child.state == "dead" or child.process.poll() is not None:
            return  # a death is reported by deaths(), not here
        child.process.send_signal(number)
        child.state = state

    def _bury(self, child: Child) -> int:
        at_ms = now_ms()
        self._close(child)
        child.state = "dead"
        self._record(child, "died", at_ms)
        return at_ms

    def _close(self, child: Child) -> None:
        if child.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                child.process.stdin.close()

    def _record(self, child: Child, event: str, at_ms: int | None = None) -> None:
        at_ms = now_ms() if at_ms is None else at_ms
        self.events += [ServiceEvent(each.service, each.name, event, at_ms) for each in child.spec.replicas]


def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdout: object,
    stderr: object,
) -> subprocess.Popen[bytes]:
    """Start a process tied to the calling thread's life; raises WorldError if the program cannot be started."""
    try:
        # The hook makes one system call and imports nothing, so forking beside threads is safe enough here.
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            list(command),
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            process_group=0,
            preexec_fn=_die_with(os.getpid()) if _libc is not None else None,
        )
    except OSError as error:
        raise WorldError(f"cannot start {command[0]}: {error}") from error


def _die_with(lab_pid: int) -> Callable[[], None]:
    def tie() -> None:
        assert _libc is not None  # noqa: S101 - checked by the caller
        _libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != lab_pid:  # the lab died before the tie was made
            os._exit(1)

    return tie


def wait_until(condition: Callable[[], bool], deadline_s: float, interval_s: float = POLL_INTERVAL_S) -> bool:
    """Wait for a condition; False if the deadline passed first."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval_s)
    return True
