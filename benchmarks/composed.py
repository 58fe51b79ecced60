"""The same steps on the platform in containers: MariaDB and Redis instead of files, the load in a container as well.

CPU is what the engine tells of the project's containers; the generator's is in its own account only.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.saturation import Climb, climb
from scenarios.plan import Plan
from scenarios.runfolder import RunFolder
from scenarios.worlds.compose import load_container, own_project
from scenarios.worlds.containers import Containers, engine
from settlement.topology import REGISTRY_SERVICE, SERVICES

COMPOSE = "compose"
# As in a run of the lab: a health check is a process each time, in every container.
ENVIRONMENT = {"PAYLAB_RESTART": "no", "PAYLAB_HEALTH_INTERVAL": "60s"}
# Inside the project's network the registry has a name.
REGISTRY = f"http://{REGISTRY_SERVICE}:{SERVICES[REGISTRY_SERVICE].port}"


class ContainerMeter:
    """CPU seconds and memory of containers, as the engine tells; it takes about a second."""

    interval_s = 0.5

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._resident: dict[str, int] = {}

    def cpu_s(self) -> dict[str, float] | None:
        """See Meter."""
        names = self._containers.names()
        usages = self._containers.usages(names)
        if len(usages) < len(names):
            return None
        self._resident = {name: usage.memory_bytes for name, usage in usages.items()}
        return {name: usage.cpu_s for name, usage in usages.items()}

    def resident_bytes(self) -> int:
        """See Meter; as last heard."""
        return sum(self._resident.values())


def climb_compose(folder: Path, plans: Sequence[Plan], say: Callable[[str], None]) -> list[Climb]:
    """One climb a plan, all on one project that is started and removed here. Raises WorldError."""
    client = engine()
    with own_project(ENVIRONMENT, {}, say) as (project, _):
        project.await_healthy(on_change=say)
        with closing(Containers(client, project.name)) as containers:
            containers.find()
            climbs = []
            for number, steps in enumerate(plans, 1):
                say(f"climb {number} of {len(plans)}")
                part = RunFolder(folder / str(number))
                part.logs.mkdir(parents=True)
                load = load_container(project, part, REGISTRY)
                climbs.append(climb(COMPOSE, load, lambda _: ContainerMeter(containers), part.path, steps))
            return climbs
