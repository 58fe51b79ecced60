"""Asks the services of this container whether they are ready: exit status 0 if all are, and there is one.

A service in a container listens at its port of the topology, so whatever answers on one of those ports is meant. Plain
sockets, because this runs every few seconds in every container and an HTTP library takes longer to import than to use.
"""

from __future__ import annotations

import socket
import sys
from typing import Final

from settlement.topology import SERVICES

TIMEOUT_S: Final = 3.0
REQUEST: Final = b"GET /health/ready HTTP/1.0\r\nHost: localhost\r\n\r\n"


def answer_of(port: int) -> str | None:
    """The first line of what the service at this port says; None if nobody listens there."""
    try:
        connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
    except ConnectionRefusedError:
        return None
    with connection:
        connection.sendall(REQUEST)
        return connection.recv(4_096).split(b"\r\n", 1)[0].decode("ascii", "replace")


def main() -> int:
    """Say what is wrong, if anything is."""
    try:
        found = {service.name: answer_of(service.port) for service in SERVICES.values()}
    except OSError as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    told = {name: line for name, line in found.items() if line is not None}
    sys.stdout.write(", ".join(f"{name}: {line}" for name, line in told.items()) or "nobody listens yet")
    return 0 if told and all(" 200 " in line for line in told.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
