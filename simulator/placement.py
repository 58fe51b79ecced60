"""Where processes run: all on one host, as on a developer's machine, or each on a host of its own, as in production."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator.calibration import Calibration
from simulator.hosts import Host
from simulator.kernel import Kernel
from simulator.randomness import Streams

GENERATOR_CORES = 1


@dataclass(frozen=True)
class Placement:
    """`cores` of each process's own host; None: everything, the load generator too, shares the calibration's cores.

    A process is one event loop: it has no use for more than one core, and with half a core (a quota) its work takes
    twice as long. `slower` (only with hosts of their own) stretches the work of a service's processes: 1.1 is 10 % more
    demand for everything that they do, 0.9 is 10 % less. `quotas` are the containers' CPU quotas by service, in cores:
    a process gets the largest of its services', and without one as much as there is.
    """

    cores: float | None = None
    slower: Mapping[str, float] = field(default_factory=dict)
    quotas: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError naming every figure that is no speed."""
        figures = {
            "cores": 1.0 if self.cores is None else self.cores,
            **self.slower,
            **{f"quota of {name}": quota for name, quota in self.quotas.items()},
        }
        problems = [f"{name}: {value!r} is not above 0" for name, value in figures.items() if not value > 0]
        if self.slower and self.cores is None:
            problems.append("slower: needs hosts of their own (cores)")
        if problems:
            raise ValueError("; ".join(problems))

    def speed(self, services: tuple[str, ...]) -> float:
        """Seconds of one core's work that a process of `services` does in a second at most."""
        return min(1.0, self.cores or 1.0) / max((self.slower.get(service, 1.0) for service in services), default=1.0)

    def quota(self, services: tuple[str, ...]) -> float | None:
        """The CPU quota of a process of `services`, in cores; None: no quota."""
        return max((self.quotas[service] for service in services if service in self.quotas), default=None)


TOGETHER = Placement()


class Hosts:
    """The hosts of a run, made as processes are put on them; `all` of them, in that order."""

    def __init__(self, placement: Placement, kernel: Kernel, costs: Calibration, streams: Streams) -> None:
        self._placement, self._kernel, self._costs, self._streams = placement, kernel, costs, streams
        self.all: list[Host] = []
        if placement.cores is None:
            self._new(costs.cores, 1.0, "host", costs.waking_s)

    def of(self, services: tuple[str, ...]) -> Host:
        """Where a process of these services is put; called once a process. No services: the load generator."""
        if self._placement.cores is None:
            return self.all[0]
        if not services:  # who costs nothing need not wake up either
            waking_s = self._costs.waking_s if self._costs.client_cpu_s else 0.0
            return self._new(GENERATOR_CORES, 1.0, self._name_for("client"), waking_s)
        speed, name = self._placement.speed(services), self._name_for("+".join(services))
        return self._new(GENERATOR_CORES, speed, name, self._costs.waking_s)

    def for_database(self) -> Host:
        """Where a database server runs: with everybody else, or by itself."""
        if self._placement.cores is None:
            return self.all[0]
        return self._new(self._costs.cores, 1.0, self._name_for("database"), self._costs.waking_s)

    def _new(self, cores: int, speed: float, name: str, waking_s: float) -> Host:
        served = self._costs.scheduling.of(self._kernel, name, cores, self._streams)
        host = Host(self._kernel, served, speed, waking_s)
        self.all.append(host)
        return host

    def _name_for(self, what: str) -> str:
        return f"host-{len(self.all)} of {what}"
