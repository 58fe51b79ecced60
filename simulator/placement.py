"""Where processes run: all on one host, as on a developer's machine, or each on a host of its own, as in production."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from simulator.hosts import Host
from simulator.kernel import Kernel

GENERATOR_CORES = 1


@dataclass(frozen=True)
class Placement:
    """`cores` of each process's own host; None: everything, the load generator too, shares the calibration's cores.

    A process is one event loop: it has no use for more than one core, and with half a core (a quota) its work takes
    twice as long. `slower` (only with hosts of their own) stretches the work of a service's processes: 1.1 is 10 % more
    demand for everything that they do, 0.9 is 10 % less.
    """

    cores: float | None = None
    slower: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError naming every figure that is no speed."""
        figures = {"cores": 1.0 if self.cores is None else self.cores, **self.slower}
        problems = [f"{name}: {value!r} is not above 0" for name, value in figures.items() if not value > 0]
        if self.slower and self.cores is None:
            problems.append("slower: needs hosts of their own (cores)")
        if problems:
            raise ValueError("; ".join(problems))

    def speed(self, services: tuple[str, ...]) -> float:
        """Seconds of one core's work that a process of `services` does in a second at most."""
        return min(1.0, self.cores or 1.0) / max((self.slower.get(service, 1.0) for service in services), default=1.0)


TOGETHER = Placement()


def hosts_of(placement: Placement, kernel: Kernel, shared_cores: int) -> Callable[[tuple[str, ...]], Host]:
    """Which host a process of these services is put on; called once a process. No services: the load generator."""
    if placement.cores is None:
        shared = Host(kernel, shared_cores)
        return lambda services: shared
    return lambda services: Host(kernel, GENERATOR_CORES, placement.speed(services) if services else 1.0)
