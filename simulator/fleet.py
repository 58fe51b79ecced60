"""Replicas that come and go: the shipped autoscaler, asked once a period about one service.

A new replica takes its start-up time before it serves; one that is not ready yet counts as idle, as Kubernetes has it,
so that a slow start does not call for still more. One that goes is taken off the registry at once, and has
`DRAIN_S` for what it is working on.
"""

from collections.abc import Callable
from typing import Protocol

from settlement.policies.autoscaler import Autoscaler
from simulator.hosts import Process
from simulator.inputs import Autoscaling
from simulator.kernel import Kernel

DRAIN_S = 5.0
"""How long a replica that goes may finish what it has begun."""


class Starter(Protocol):
    """What the fleet wants from whoever builds processes."""

    def launch(self, number: int) -> Process:
        """Start the process of this number; it serves when its start-up time has passed."""
        ...

    def withdraw(self, process: Process) -> None:
        """Take it off the registry."""
        ...

    def end(self, process: Process) -> None:
        """Stop it."""
        ...


class Fleet:
    """The processes of one service. `processes` are those that serve or are about to, by number."""

    def __init__(
        self,
        kernel: Kernel,
        plan: Autoscaling,
        processes: list[Process],
        starter: Starter,
        is_ready: Callable[[Process], bool],
    ) -> None:
        self._kernel, self._plan, self._starter, self._is_ready = kernel, plan, starter, is_ready
        self._scaler = Autoscaler(plan.scaling)
        self.processes = dict(enumerate(processes))
        self._leaving: set[int] = set()
        self._before_s: dict[str, float] = {}

    def start(self) -> None:
        """Look at the fleet once a period from now on."""
        self._before_s = {process.name: process.cpu_s for process in self.processes.values()}
        self._kernel.after(self._plan.scaling.period_s, self._look)

    def _look(self) -> None:
        current = len(self.processes)
        wanted = self._scaler.recommend(current, self._utilisation(), self._kernel.now)
        for _ in range(current, wanted):
            self._grow()
        for _ in range(wanted, current):
            self._shrink()
        self.start()

    def _utilisation(self) -> float:
        shares = [self._used(process) for process in self.processes.values()]
        return sum(shares) / len(shares) if shares else 0.0

    def _used(self, process: Process) -> float:
        if not self._is_ready(process):
            return 0.0
        used_s = process.cpu_s - self._before_s.get(process.name, 0.0)
        return used_s / self._plan.scaling.period_s / min(1.0, process.quota or 1.0)

    def _grow(self) -> None:
        taken = self._leaving | self.processes.keys()
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        self.processes[number] = self._starter.launch(number)

    def _shrink(self) -> None:
        number = max(self.processes)
        process = self.processes.pop(number)
        self._leaving.add(number)
        self._starter.withdraw(process)
        self._kernel.after(DRAIN_S, self._gone, number, process)

    def _gone(self, number: int, process: Process) -> None:
        self._leaving.discard(number)
        self._starter.end(process)
