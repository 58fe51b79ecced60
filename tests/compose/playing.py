"""A short run with every fault that containers can suffer, and what a project looks like from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from scenarios.worlds.attachment import faults_of
from scenarios.worlds.containers import Containers
from scenarios.worlds.injector import UNDO_FILE
from scenarios.worlds.supervisor import wait_until
from scenarios.worlds.wire import Unreachable

# How long a slow and busy machine may take from the command to the last fault: images, containers, accounts.
STARTED_S_MAX = 300.0
POINT = "coordinator.decided.persist.after"
FAULTS = (
    "{{at: 1s, for: {long}, kind: partition, service: message}}",
    "{{at: 1s, for: {long}, kind: throttle, service: cart, cpus: 0.3}}",
    "{{at: 1s, for: {long}, kind: pause, service: statistics}}",
    "{{at: 1s, for: {long}, kind: outage, of: redis}}",
    "{{at: 1s, kind: kill, service: reporting, restart_after: {long}}}",
    "{{at: 0s, for: {load}, kind: latency, from: payment, to: channel, delay: 50ms}}",
    f"{{{{at: 2s, kind: crash_at, service: gateway, point: {POINT}, restart_after: {{long}}}}}}",
)
SCENARIO = """
name: every-fault
question: Is everything as it was afterwards?
load:
  kind: open
  mix: {{pay: 70, browse: 20, refund: 10}}
  pool: 60
  stages: [{{rate: 4, for: {load}}}]
  deadline: 25s
phases: {{warmup: 1s, recovery: {recovery}}}
faults:
{faults}
expect: [atomic, money_conserved, client_truth, in_doubt.count >= 1]
"""


def scenario(folder: Path, *, long: str, load: str, recovery: str = "12s") -> Path:
    """A scenario file whose faults last `long`."""
    faults = "\n".join(f"  - {fault.format(long=long, load=load)}" for fault in FAULTS)
    path = folder / "every-fault.yaml"
    path.write_text(SCENARIO.format(load=load, recovery=recovery, faults=faults))
    return path


def paylab(*words: str, folder: Path) -> subprocess.Popen[str]:
    """The command line in a process of its own, with temporary files in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "scenarios.cli", *words],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed_amid_faults(process: subprocess.Popen[str], runs: Path) -> Path:
    """Wait until every fault of the run has begun and the gateway is dead, then SIGKILL the lab. Returns the run."""

    def begun() -> int:
        logs = list(runs.glob(f"*/{UNDO_FILE}"))
        return len(logs[0].read_text().splitlines()) if logs else 0

    assert wait_until(lambda: begun() >= len(FAULTS) or process.poll() is not None, STARTED_S_MAX), "no faults in time"
    process.kill()
    said = "".join(process.communicate())
    assert process.returncode == -9, said
    return next(runs.iterdir())


def looks(project: str, fault_token: str) -> dict[str, Any]:
    """What a fault can change of each container, as the engine and the replica itself tell it."""
    import docker

    containers = Containers(docker.from_env(), project)
    containers.look()
    found = {}
    for name in containers.names():
        attributes = containers.of(name).attrs
        state, host = attributes["State"], attributes["HostConfig"]
        found[name] = {
            "id": attributes["Id"], "state": state["Status"], "cpus": host["NanoCpus"],
            "restart": host["RestartPolicy"]["Name"],
            # Not the address: an engine gives a container that is started again any that is free.
            "networks": {joined.network: set(joined.aliases) for joined in containers.joined(name)},
            "faults": faults(containers, name, fault_token) if state["Status"] == "running" else "not running",
        }  # fmt: skip
    return found


def faults(containers: Containers, name: str, fault_token: str) -> Any:
    """What a replica says that it suffers; backing services have no such list."""
    try:
        reply = faults_of(containers, name, fault_token)
    except Unreachable:
        return "no answer"
    return None if reply is None else reply.body["faults"]
