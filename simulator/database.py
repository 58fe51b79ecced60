"""The database server, if there is one: its CPU on the host, its connections, and its being away.

Embedded databases have none of this: a commit is CPU in the process and perhaps a wait for the disk. With a server
(`database_cpu_s` of the calibration) a commit takes a connection of its process' pool, works, waits for the disk while
the server works, and gives the connection back. Who finds no connection in time, or no server, is told at once and has
changed nothing; a commit that had begun when the server died was durable.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from simulator.hosts import Host, Process
from simulator.kernel import Future, Kernel
from simulator.resources import Pool


class DatabaseUnavailable(Exception):
    """No connection to be had, or no server: nothing has changed."""


class DatabaseServer:
    """One server for all services; `cpu_s` is what a commit costs it. `down`: killed, and not started again yet."""

    def __init__(self, host: Host, cpu_s: float) -> None:
        self.host, self.cpu_s = host, cpu_s
        self.down = False


class Connections:
    """The pool of one process. A connection is held by whoever is between `connect` and the end of its commit."""

    def __init__(self, kernel: Kernel, process: Process, server: DatabaseServer, size: int, wait_s_max: float) -> None:
        self._process, self._server = process, server
        self.pool = Pool(kernel, f"{process.name} connections", size, wait_s_max)
        self._held = 0
        process.on_death.append(self._all_lost)

    @property
    def away(self) -> bool:
        """Whether there is nobody to talk to."""
        return self._server.down or self._process.cut_off

    def connect(self) -> Future:
        """A connection; settles with DatabaseUnavailable if there is none in time."""
        future = Future()
        if self.away:
            future.settle(error=DatabaseUnavailable("the server is away"))
        else:
            self.pool.take(partial(self._granted, future, self._process.incarnation))
        return future

    def _granted(self, future: Future, incarnation: int, granted: bool) -> None:
        if incarnation != self._process.incarnation:
            if granted:
                self.pool.give_back()
        elif granted:
            self._held += 1
            self._process.deliver(future.settle)
        else:
            error = DatabaseUnavailable("no connection was free in time")
            self._process.deliver(future.settle, None, error)

    def write(self, then: Callable[[Any], None], argument: Any) -> None:
        """The server's part of a commit, after the process' own; then call `then(argument)`."""
        incarnation = self._process.incarnation
        self._server.host.cores.run(self._server.cpu_s, self._written, incarnation, then, argument)

    def _written(self, incarnation: int, then: Callable[[Any], None], argument: Any) -> None:
        if incarnation == self._process.incarnation:
            self._held -= 1
            self.pool.give_back()
            self._process.deliver(then, argument)

    def _all_lost(self) -> None:
        for _ in range(self._held):
            self.pool.give_back()
        self._held = 0
