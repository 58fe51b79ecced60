"""Ports for servers that tests start, stop and start again: nobody else is given them meanwhile."""

from __future__ import annotations

import os
import random
import socket
from contextlib import closing

# Below those that the system hands out to whoever connects somewhere; each process of a parallel run has its own.
LOWEST, PROCESSES_MAX, PORTS_EACH = 15_000, 8, 2_000
_given: set[int] = set()


def free_port() -> int:
    """A loopback port that is free now, and another one each time."""
    first = LOWEST + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % PROCESSES_MAX * PORTS_EACH
    candidates = [port for port in range(first, first + PORTS_EACH) if port not in _given]
    for port in random.sample(candidates, len(candidates)):
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise AssertionError(f"no free port from {first} to {first + PORTS_EACH - 1}")
