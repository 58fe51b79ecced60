"""Starts the floor: one uvicorn process a service, as the platform has one a replica."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import free_port, python_process, wait_until_answers

SERVICES = ("cart", "order", "payment", "gateway", "channel")
DESK = "desk"
UVICORN = ("--no-access-log", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools")


@dataclass(frozen=True)
class Floor:
    """The address that stands for the registry, and the process id of every service."""

    registry: str
    pids: dict[str, int]


@contextmanager
def running_floor(folder: Path) -> Iterator[Floor]:
    """The floor, ready; logs and databases in `folder`."""
    ports = {name: free_port() for name in (*SERVICES, DESK)}
    addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    peers = {name: addresses[name] for name in SERVICES} | {"usercenter": addresses[DESK]}
    environment = {"FLOOR_PEERS": json.dumps(peers), "FLOOR_DATA": str(folder)}
    with ExitStack() as stack:
        processes = {}
        for name, port in ports.items():
            command = ["-m", "uvicorn", "--factory", "--port", str(port), *UVICORN, f"benchmarks.floor.services:{name}"]
            processes[name] = stack.enter_context(python_process(command, folder / f"{name}.log", environment))
        for name, process in processes.items():
            wait_until_answers(f"{addresses[name]}/registry", process)
        yield Floor(addresses[DESK], {name: process.pid for name, process in processes.items()})
