"""Plays a small plan against a stub, in the subprocess that the lab uses too."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios.plan import Arrival, LoadPlan, LoadStage, Plan, PlatformPlan
from tests.loadtests.stub import Stub, records

Row = dict[str, Any]


@dataclass(frozen=True)
class Played:
    """What the generator left behind."""

    status: int
    requests: list[Row]
    operations: list[Row]
    generator: Row
    errors: str

    def step(self, name: str) -> list[Row]:
        """The attempts of one step, in order."""
        return [row for row in self.requests if row["step"] == name]


def plan_of(
    *,
    rate_per_s: float = 10.0,
    load_s: float = 1.0,
    journey: str = "pay",
    pool: int = 20,
    timeout_s: float = 3.0,
    deadline_s: float = 6.0,
    kind: str = "open",
    users: int = 2,
) -> Plan:
    """A plan with evenly spaced arrivals of one journey."""
    arrivals = tuple(
        Arrival(number, number / rate_per_s, journey, "card", 1, 1, f"k{number}")
        for number in range(round(rate_per_s * load_s) if kind == "open" else 0)
    )
    stages = (LoadStage(0.0, load_s, rate_per_s=rate_per_s, users=users),)
    load = LoadPlan(kind, pool, timeout_s, deadline_s, 0.01, stages, {journey: 1.0}, {"card": 1.0})
    return Plan("test", 1, load_s, load_s, 50, (), arrivals, (), load, PlatformPlan())


def start(plan: Plan, registry: str, folder: Path) -> "subprocess.Popen[str]":
    """The generator, started and not yet told when to begin."""
    (folder / "plan.json").write_text(plan.to_json())
    command = [sys.executable, "-m", "loadtests.run", "--plan", str(folder / "plan.json")]
    return subprocess.Popen(
        [*command, "--registry", registry, "--out", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def begin(generator: "subprocess.Popen[str]") -> None:
    """Wait until it is ready and tell it to begin at once."""
    assert generator.stdout is not None
    assert generator.stdin is not None
    assert generator.stdout.readline() == "ready\n"
    generator.stdin.write(f"start {time.time_ns() // 1_000_000 + 100}\n")
    generator.stdin.flush()


def finish(generator: "subprocess.Popen[str]", folder: Path) -> Played:
    """Wait for its end, stdin kept open meanwhile, and read what it left."""
    status = generator.wait(60)
    assert generator.stderr is not None
    errors = generator.stderr.read()
    for stream in (generator.stdin, generator.stdout, generator.stderr):
        assert stream is not None
        stream.close()
    lines = {name: records((folder / f"{name}.jsonl").read_text()) for name in ("requests", "operations")}
    return Played(status, **lines, generator=json.loads((folder / "generator.json").read_text()), errors=errors)


def play(plan: Plan, stub: Stub, folder: Path) -> Played:
    """Play `plan` against `stub` to its end."""
    generator = start(plan, stub.address, folder)
    begin(generator)
    return finish(generator, folder)
