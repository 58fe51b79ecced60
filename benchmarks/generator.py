"""What recording costs: our Locust user against a bare FastHttpUser, requests per CPU second of the generator."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Figure, Sample, free_port, interleaved, python_process, wait_until_answers

ROUNDS = 5
RUN_S = 1.5
TITLE = "load generator"


def _child(kind: str, url: str) -> Callable[[], Sample]:
    def run() -> Sample:
        command = [sys.executable, "-m", "benchmarks.generator_child", kind, url, str(RUN_S)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return Sample(float(printed[0]), float(printed[1]))

    return run


def measure() -> dict[str, list[Figure]]:
    """Requests a second, and a CPU second of Locust; the second row's ratio has a budget of 0.8."""
    with tempfile.TemporaryDirectory(prefix="paylab-bench-") as folder:
        port = free_port()
        server = ["-m", "uvicorn", "--factory", "--port", str(port), "--no-access-log", "--log-level", "warning"]
        database = {"PAYLAB_BENCH_DATABASE": str(Path(folder) / "generator.sqlite")}
        with python_process([*server, "benchmarks.component_app:create"], Path(folder) / "log", database) as process:
            url = f"http://127.0.0.1:{port}"
            wait_until_answers(f"{url}/trivial", process)
            names = {"bare FastHttpUser": "bare", "user with recorder": "recorded"}
            return {TITLE: interleaved({name: _child(kind, url) for name, kind in names.items()}, ROUNDS)}
