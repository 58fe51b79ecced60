"""Small tools of every benchmark: interleaved repetitions, medians, CPU seconds of a process tree, free ports."""

import math
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.table import Table

READY_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Sample:
    """One short run: operations a second of wall time, and a CPU second of what is tested (nan: not measured)."""

    per_s: float
    per_cpu_s: float = math.nan


@dataclass(frozen=True)
class Figure:
    """The medians of one candidate's runs, and the spread (max - min) / median of its wall rate."""

    name: str
    per_s: float
    per_cpu_s: float
    spread: float

    @classmethod
    def of(cls, name: str, samples: Sequence[Sample]) -> "Figure":
        """Summarise; the median resists the one run that shared the core with something else."""
        rates = [sample.per_s for sample in samples]
        middle = statistics.median(rates)
        return cls(
            name=name,
            per_s=middle,
            per_cpu_s=statistics.median(sample.per_cpu_s for sample in samples),
            spread=(max(rates) - min(rates)) / middle if middle else math.nan,
        )


def interleaved(candidates: Mapping[str, Callable[[], Sample]], rounds: int) -> list[Figure]:
    """Run every candidate once a round, so that a slow spell of the machine falls on all of them."""
    samples: dict[str, list[Sample]] = {name: [] for name in candidates}
    for round_number in range(rounds):
        names = list(candidates)
        for name in names if round_number % 2 == 0 else reversed(names):
            samples[name].append(candidates[name]())
    return [Figure.of(name, taken) for name, taken in samples.items()]


def table(title: str, what: str, figures: Sequence[Figure]) -> Table:
    """The figures as a table; the ratio is to the first row, by CPU second where that was measured."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("candidate")
    for column in (f"{what}/s", "spread", f"{what} per CPU s", "ratio"):
        shown.add_column(column, justify="right")
    first = figures[0]
    for figure in figures:
        by_cpu = not math.isnan(figure.per_cpu_s)
        ratio = figure.per_cpu_s / first.per_cpu_s if by_cpu else figure.per_s / first.per_s
        shown.add_row(
            figure.name,
            f"{figure.per_s:,.0f}",
            f"{figure.spread:.0%}",
            f"{figure.per_cpu_s:,.0f}" if by_cpu else "",
            f"{ratio:.2f}",
        )
    return shown


def cpu_s(process: psutil.Process) -> float:
    """User and system seconds of a process and its living children."""
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def resident_bytes(process: psutil.Process) -> int:
    """Resident memory of a process and its living children."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += int(member.memory_info().rss)
        except psutil.NoSuchProcess:
            continue
    return total


def free_port() -> int:
    """A loopback port that was free a moment ago (granian cannot be given port 0)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when `url` answers below 500; RuntimeError when the process ends or the time is up."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} before it answered {url}")
        try:
            with urllib.request.urlopen(url, timeout=1.0):
                return
        except urllib.error.HTTPError as problem:
            if problem.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.02)  # between two looks, within the deadline above
    raise RuntimeError(f"{url} did not answer within {READY_TIMEOUT_S:.0f} s")


@contextmanager
def python_process(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python ARGUMENTS` with its output in `log`; ended (then killed) when the block is left."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Terminate and, if it does not listen within five seconds, kill."""
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(timeout=5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
