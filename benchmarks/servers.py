"""ASGI servers, one process each: uvicorn with uvloop and httptools against granian."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from benchmarks.driver import drive
from benchmarks.measure import Figure, Sample, cpu_s, free_port, interleaved, python_process, wait_until_answers

ROUNDS = 5
RUN_S = 0.8
APPLICATION = "benchmarks.component_app:create"


def _commands(port: int) -> dict[str, list[str]]:
    uvicorn = ["-m", "uvicorn", "--factory", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    granian = ["-m", "granian", "--factory", "--port", str(port), "--interface", "asgi", "--workers", "1"]
    return {
        "uvicorn (uvloop, httptools)": [*uvicorn, "--loop", "uvloop", "--http", "httptools", APPLICATION],
        "granian (uvloop)": [*granian, "--loop", "uvloop", "--no-access-log", "--log-level", "warning", APPLICATION],
        "uvicorn (asyncio, h11)": [*uvicorn, "--loop", "asyncio", "--http", "h11", APPLICATION],
    }


def _runner(port: int, process: psutil.Process, method: str, path: str) -> Callable[[], Sample]:
    def run() -> Sample:
        before_s = cpu_s(process)
        answered = drive(port, method, path, RUN_S)
        # psutil counts CPU in ticks of 10 ms: with runs of 0.8 s the error stays near 1 %.
        return Sample(answered / RUN_S, answered / (cpu_s(process) - before_s))

    return run


@contextmanager
def _running(folder: Path) -> Iterator[dict[str, tuple[int, psutil.Process]]]:
    with ExitStack() as stack:
        running = {}
        for number, name in enumerate(_commands(0)):
            port = free_port()
            database = {"PAYLAB_BENCH_DATABASE": str(folder / f"server-{number}.sqlite")}
            process = stack.enter_context(
                python_process(_commands(port)[name], folder / f"server-{number}.log", database)
            )
            wait_until_answers(f"http://127.0.0.1:{port}/trivial", process)
            running[name] = (port, psutil.Process(process.pid))
        yield running


def measure() -> dict[str, list[Figure]]:
    """Requests a second of each server, on the trivial route and on the one with a durable insert."""
    with tempfile.TemporaryDirectory(prefix="paylab-bench-") as folder, _running(Path(folder)) as running:
        return {
            f"ASGI server, {label}": interleaved(
                {name: _runner(port, process, method, path) for name, (port, process) in running.items()}, ROUNDS
            )
            for label, method, path in (
                ("trivial route", "GET", "/trivial"),
                ("route with one durable insert", "POST", "/durable"),
            )
        }
