"""Starts the load generator, a process of its own (importing Locust would patch the lab's), and reads what it wrote.

Two steps: it makes its accounts and says `ready`; the lab then names the moment when the run begins. It stops by itself
when its journeys are over, when asked to, and when the lab is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from scenarios.worlds.base import WorldError
from scenarios.worlds.supervisor import last_lines, spawn, wait_until

READY_DEADLINE_S = 300.0  # hundreds of accounts, whose passwords are expensive to hash on purpose
STOP_DEADLINE_S = 5.0
LOAD_LOG = "loadtests.log"

Row = dict[str, Any]


@dataclass
class Loader:
    """The load generator, as a context manager: gone after the `with`."""

    plan: Path
    registry: str
    out: Path
    logs: Path
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = (sys.executable, "-m", "loadtests.run")
    container: str = ""
    """In which it runs, if it does; the process is then only the engine's client."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _said: bytes = field(default=b"", init=False)

    def __enter__(self) -> Self:
        """Start it; it begins to make its accounts."""
        files = ["--plan", str(self.plan), "--out", str(self.out)]
        command = [*self.program, "--registry", self.registry, *files]
        self.out.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = spawn(command, {**os.environ, **self.extra_environment}, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None  # noqa: S101 - we asked for a pipe
        os.set_blocking(self._process.stdout.fileno(), False)
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it, then ask, then force."""
        process = self.process
        self._let_go()
        if not self._ends_within(STOP_DEADLINE_S if process.poll() is None else 0.0):
            process.terminate()
            if not self._ends_within(STOP_DEADLINE_S):
                process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The started process."""
        if self._process is None:
            raise RuntimeError("the load generator was not started")
        return self._process

    @property
    def log(self) -> Path:
        """What it wrote to stderr."""
        return self.logs / LOAD_LOG

    def await_ready(self, meanwhile: Callable[[], None]) -> None:
        """Wait until the accounts exist, calling `meanwhile` over and over. Raises WorldError if it ends or is late."""

        def ready() -> bool:
            meanwhile()
            ended = self.process.poll() is not None
            self._listen()
            if ended and not self._is_ready():
                raise self._failed(f"ended with status {self.process.returncode} before it was ready")
            return self._is_ready()

        if not wait_until(ready, READY_DEADLINE_S):
            raise self._failed(f"did not make its accounts within {READY_DEADLINE_S:g} s")

    def start(self, start_ms: int) -> None:
        """Name the moment, in epoch milliseconds, when the run begins."""
        stdin = self.process.stdin
        assert stdin is not None  # noqa: S101 - we asked for a pipe
        try:
            stdin.write(f"start {start_ms}\n".encode())
            stdin.flush()
        except BrokenPipeError as error:
            raise self._failed("ended before the run began") from error

    def check(self) -> None:
        """Raise WorldError if it died."""
        if status := self.process.poll():
            raise self._failed(f"ended with status {status} during the run")

    def has_ended(self) -> bool:
        """Whether it has finished its work."""
        return self.process.poll() is not None

    def finish(self, deadline_s: float) -> None:
        """Wait until it has written everything. Raises WorldError if it does not end in time or fails."""
        if not self._ends_within(deadline_s):
            self._let_go()
            if not self._ends_within(STOP_DEADLINE_S):
                raise self._failed(f"did not end within {deadline_s:g} s after the run")
        self.check()

    def _is_ready(self) -> bool:
        return b"ready" in self._said.split()

    def _listen(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - we asked for a pipe
        while chunk := self.process.stdout.read():
            self._said += chunk

    def _let_go(self) -> None:
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def _ends_within(self, deadline_s: float) -> bool:
        return wait_until(lambda: self.process.poll() is not None, deadline_s)

    def _failed(self, what: str) -> WorldError:
        return WorldError(f"the load generator {what}; the end of its log:\n{last_lines(self.log)}", self.log)


def read_lines(path: Path) -> list[Row]:
    """The records of a .jsonl file without a last line that a crash cut off. Raises WorldError if there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise WorldError(f"the load generator left no {path.name}: {error.strerror}", path) from error
    whole, rest = lines[:-1], lines[-1]
    rows = [json.loads(line) for line in whole if line]
    with contextlib.suppress(ValueError):
        rows += [json.loads(rest)] if rest else []
    return rows


def read_document(path: Path) -> Row:
    """A JSON object that the load generator wrote. Raises WorldError if it is not there or damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorldError(f"the load generator left no readable {path.name}: {error}", path) from error
    if not isinstance(document, dict):
        raise WorldError(f"{path.name} is not an object", path)
    return document
