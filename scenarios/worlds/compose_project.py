"""One Compose project: build it, start it, scale it, look at it, stop it; through whichever Compose is installed.

    project = ComposeProject("paylab-test", folder / "secrets", ports="free", environment={"PAYLAB_RESTART": "no"})
    project.build()                            # the images; cached
    project.up(scale={"gateway": 2})           # returns as soon as the containers run
    project.await_healthy(on_change=say)       # until all their health checks pass
    project.address("gateway", 2)              # "http://127.0.0.1:49153": what is published for the second container
    for container in project.ps(): ...         # service, number, id, state, health, status, ports, started_at
    project.scale("gateway", 3)
    project.down(volumes=True)

Several projects live side by side if their names differ and their ports are free ones. Containers are found by the
labels that Compose gives them, never by name. Everything raises WorldError with what Compose or the engine said. The
class does not start an engine; `engine_problem()` says why none answers. The Docker library works on the same
containers by `Container.id`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from scenarios.worlds.base import WorldError
from scenarios.worlds.compose_secrets import DEFAULT_FOLDER, DEFAULT_PROJECT, PROJECT_DIRECTORY
from settlement.settings import PROFILES as SETTING_PROFILES
from settlement.topology import REGISTRY_SERVICE, SERVICES

PROJECT_LABEL: Final = "com.docker.compose.project"
SERVICE_LABEL: Final = "com.docker.compose.service"
NUMBER_LABEL: Final = "com.docker.compose.container-number"
ONEOFF_LABEL: Final = "com.docker.compose.oneoff"
FILE: Final = "docker-compose.yml"
PROFILES: Final = ("load", "observability")
# Names the profile of the settings, which is another thing than the profiles of Compose above.
SETTING_PROFILE: Final = "PAYLAB_PROFILE"
# Image -> the service that is asked to build it; the others of the same image find it made.
BUILT_BY: Final = {"services": "configcenter", "load": "locust-master"}
# Service -> the container's port that is published, for those beside the platform's own services.
BACKING_PORTS: Final = {
    "mariadb": 3306, "redis": 6379, "locust-master": 8089, "prometheus": 9090, "grafana": 3000, "jaeger": 16686,
}  # fmt: skip
PORTS: Final = {**{service.name: service.port for service in SERVICES.values()}, **BACKING_PORTS}
# Where they are published unless a variable says otherwise; clearing has Locust's own port.
PUBLISHED: Final = {**PORTS, "locust-master": 8093}
HEALTHY_DEADLINE_S: Final = 300.0
POLL_INTERVAL_S: Final = 0.5
STOP_TIMEOUT_S: Final = 20
ENGINE_TIMEOUT_S: Final = 600
ERROR_LINES_MAX: Final = 20
# What a database says of a password that is not the one it was made with, in its own log and in that of who asked.
DENIED: Final = re.compile(r"Access denied for user .*using password")
OTHER_SECRETS: Final = (
    "the volumes belong to a checkout with other secrets: `make down VOLUMES=1` first, which deletes them and what is"
    " in their databases (a service that is new is mended without that: docs/compose.md)"
)

Runner = Callable[[Sequence[str], Mapping[str, str], Path], str]


@dataclass(frozen=True)
class Container:
    """A container of the project as the engine shows it.

    `number` counts from 1 within a service. `state`: created | running | paused | restarting | exited | dead.
    `health`: starting | healthy | unhealthy, or '' if it has no check. `ports`: container port -> loopback port.
    `address`: its own in the project's network. `status`: the exit status of one that has ended. `restarts`: how often
    its restart policy has started it again. `environment`: the variables that it was made with.
    """

    id: str
    service: str
    number: int
    state: str
    health: str
    status: int
    started_at: str
    restarts: int
    ports: Mapping[int, int]
    address: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """`gateway-1`: for people and for file names."""
        return f"{self.service}-{self.number}"

    @property
    def is_well(self) -> bool:
        """It runs, and its health check, if it has one, passes."""
        return self.state == "running" and self.health in ("healthy", "")


@dataclass(frozen=True)
class ComposeProject:
    """A project by its name. `ports`: "fixed" publishes those of docker-compose.yml, "free" any that are free.

    `secrets` is a folder made by `compose_secrets.ensure`. `environment` is added for Compose: PAYLAB_RESTART,
    PAYLAB_CONFIG, PAYLAB_FAULT_TOKEN_FILE and whatever else docker-compose.yml asks for. `profiles` are started beside
    the platform: "load", "observability".
    """

    name: str = DEFAULT_PROJECT
    secrets: Path = DEFAULT_FOLDER
    directory: Path = PROJECT_DIRECTORY
    ports: Literal["fixed", "free"] = "fixed"
    profiles: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    run: Runner = field(default=lambda command, environment, directory: run(command, environment, directory))

    def build(self, images: Sequence[str] | None = None) -> None:
        """Build these images, or those of the platform and of the project's profiles."""
        wanted = [each for each in ("services", *self.profiles) if each in BUILT_BY] if images is None else images
        needed = [each for each in PROFILES if each in wanted]
        self._compose("build", "--quiet", *(BUILT_BY[each] for each in wanted), profiles=needed)

    def up(self, services: Sequence[str] = (), *, scale: Mapping[str, int] | None = None) -> None:
        """Create what is not there and start it; images must be there. Returns before anything is ready."""
        counts = scale or {}
        scaled = [f"--scale={service}={count}" for service, count in counts.items()]
        try:
            self._compose("up", "--detach", "--no-build", *scaled, *services, free=self._shared_ports(counts))
        except WorldError as error:
            unwell = [container for container in self.ps() if not container.is_well and container.state != "created"]
            self._refuse_other_secrets(unwell)
            stopped = [container for container in unwell if container.state != "running"]
            raise WorldError(f"{error}\n{self._unwell(stopped)}") if stopped else error from error

    def scale(self, service: str, count: int) -> None:
        """Run so many containers of a service; the others are left alone. Its ports must be free ones beyond one."""
        options = ["--detach", "--no-build", "--no-deps", "--no-recreate", f"--scale={service}={count}"]
        self._compose("up", *options, service, free=self._shared_ports({service: count}))

    def down(self, *, volumes: bool = False) -> None:
        """Stop and remove containers and networks, and with `volumes` the databases."""
        options = ["--remove-orphans", f"--timeout={STOP_TIMEOUT_S}"]
        self._compose("down", *options, *(["--volumes"] if volumes else []), profiles=PROFILES)

    def ps(self) -> list[Container]:
        """The project's containers, dead or alive, by service and number; containers of `compose run` do not count."""
        labels = [f"--filter=label={PROJECT_LABEL}={self.name}", f"--filter=label={ONEOFF_LABEL}=False"]
        ids = self._docker("ps", "--all", "--quiet", "--no-trunc", *labels).split()
        found = [_container(document) for document in self._inspected(ids)]
        return sorted(found, key=lambda container: (container.service, container.number))

    def address(self, service: str, number: int = 1) -> str | None:
        """Where that container's port is published, as `http://127.0.0.1:PORT`; None while it is not."""
        for container in self.ps():
            if (container.service, container.number) == (service, number):
                published = container.ports.get(PORTS[service])
                return None if published is None else f"http://127.0.0.1:{published}"
        return None

    def profile(self) -> str:
        """Which profile of the settings its services follow."""
        center = next((container for container in self.ps() if container.service == REGISTRY_SERVICE), None)
        return (center.environment.get(SETTING_PROFILE) if center else None) or SETTING_PROFILES[0]

    def logs(self, folder: Path) -> None:
        """Write what every container said into `folder`, one file each (`gateway-1.log`)."""
        folder.mkdir(parents=True, exist_ok=True)
        for container in self.ps():
            with (folder / f"{container.name}.log").open("wb") as file:
                file.write(self.last_words(container, lines=None).encode())

    def last_words(self, container: Container, lines: int | None = ERROR_LINES_MAX) -> str:
        """The end of what a container said, on stdout and stderr; None: all of it."""
        # The shell, because the client keeps the two streams apart and a reader wants them in order.
        command = ["sh", "-c", 'exec docker logs --tail="$1" "$2" 2>&1', "sh", str(lines or "all"), container.id]
        return self.run(command, {}, self.directory)

    def await_healthy(
        self, deadline_s: float = HEALTHY_DEADLINE_S, on_change: Callable[[str], None] = lambda text: None
    ) -> list[Container]:
        """Wait until every container is well; `on_change` hears "12 of 16 healthy; waiting for ..." as it changes.

        Raises WorldError with the last words of one that is not well by the deadline, and at once if one has ended
        because its database does not know its password: that does not get better.
        """
        end_s, said = time.monotonic() + deadline_s, ""
        while True:
            containers = self.ps()
            waiting = [container for container in containers if not container.is_well]
            if containers and not waiting:
                return containers
            text = f"{len(containers) - len(waiting)} of {len(containers)} healthy; waiting for " + ", ".join(
                container.name for container in waiting
            )
            if text != said:
                on_change(text)
            self._refuse_other_secrets([each for each in waiting if each.restarts or each.state == "exited"])
            if time.monotonic() > end_s:
                raise self._unwell(waiting)
            said = text
            time.sleep(POLL_INTERVAL_S)

    def _refuse_other_secrets(self, unwell: Sequence[Container]) -> None:
        for container in unwell:
            words = self.last_words(container)
            if DENIED.search(words):
                raise WorldError(f"{OTHER_SECRETS}; the end of {container.name}'s log:\n{words}")

    def _unwell(self, waiting: Sequence[Container]) -> WorldError:
        if not waiting:
            return WorldError(f"the project {self.name} has no containers")
        worst = min(waiting, key=lambda container: (container.state == "running", container.service not in PORTS))
        states = ", ".join(f"{each.name} ({each.state} {each.health}".rstrip() + ")" for each in waiting)
        return WorldError(f"not healthy in time: {states}; the end of {worst.name}'s log:\n{self.last_words(worst)}")

    def _shared_ports(self, counts: Mapping[str, int]) -> tuple[str, ...]:
        """Services whose containers cannot all have one port of this machine."""
        return (
            tuple(PORTS) if self.ports == "free" else tuple(service for service, count in counts.items() if count > 1)
        )

    def _compose(
        self, *arguments: str, free: Sequence[str] | None = None, profiles: Sequence[str] | None = None
    ) -> str:
        if not (self.directory / FILE).is_file():
            raise WorldError(f"there is no {FILE} in {self.directory}; run from a checkout of the repository")
        chosen = self.profiles if profiles is None else profiles
        options = [f"--project-name={self.name}", *(f"--profile={profile}" for profile in chosen)]
        published = self._shared_ports({}) if free is None else free
        environment = {
            "COMPOSE_PROJECT_NAME": self.name,
            "PAYLAB_SECRETS": str(self.secrets.absolute()),
            # docker-compose 1.29 gives up on an engine that is busy for a minute; its successor has no such limit.
            "COMPOSE_HTTP_TIMEOUT": str(ENGINE_TIMEOUT_S),
            "DOCKER_CLIENT_TIMEOUT": str(ENGINE_TIMEOUT_S),
            **{port_variable(service): "" for service in published},
            **self.environment,
        }
        return self.run([*compose_command(), *options, *arguments], environment, self.directory)

    def _docker(self, *arguments: str) -> str:
        return self.run(["docker", *arguments], {}, self.directory)

    def _inspected(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        if not ids:
            return []
        try:
            documents: list[dict[str, Any]] = json.loads(self._docker("inspect", *ids))
            return documents
        except WorldError as error:
            if "o such" not in str(error):
                raise
        if len(ids) == 1:
            return []
        # A container has gone since it was listed: the others are shown all the same.
        return [document for each in ids for document in self._inspected([each])]


def run(command: Sequence[str], environment: Mapping[str, str], directory: Path) -> str:
    """Run a command and return what it printed. Raises WorldError with the end of what it said on stderr."""
    try:
        result = subprocess.run(
            command,
            env={**os.environ, **environment},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise WorldError(f"cannot run {command[0]}: {error.strerror}") from error
    if result.returncode != 0:
        said = "\n".join((result.stderr.strip() or result.stdout.strip()).splitlines()[-ERROR_LINES_MAX:])
        raise WorldError(f"`{_shown(command)}` failed ({result.returncode}): {said}")
    return result.stdout


@cache
def compose_command() -> tuple[str, ...]:
    """`docker compose`, or `docker-compose` where there is no such plugin. Raises WorldError if there is neither."""
    if shutil.which("docker") and _succeeds("docker", "compose", "version"):
        return ("docker", "compose")
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise WorldError("neither `docker compose` nor `docker-compose` is installed")


def engine_problem() -> str | None:
    """Why no container can be run here, in a sentence; None if an engine answers and Compose is there."""
    if not shutil.which("docker"):
        return "the command docker is not installed"
    if not _succeeds("docker", "version"):
        return "no Docker engine answers (`docker version` fails)"
    try:
        compose_command()
    except WorldError as error:
        return error.message
    return None


def port_variable(service: str) -> str:
    """The variable of docker-compose.yml that says where a service is published: `PAYLAB_GATEWAY_PORT`."""
    return f"PAYLAB_{service.removesuffix('-master').upper()}_PORT"


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def _shown(command: Sequence[str]) -> str:
    return " ".join(command)


def _container(document: Mapping[str, Any]) -> Container:
    labels, state = document["Config"]["Labels"], document["State"]
    bindings = document["NetworkSettings"]["Ports"] or {}
    networks = document["NetworkSettings"]["Networks"].values()
    return Container(
        id=document["Id"],
        service=labels[SERVICE_LABEL],
        number=int(labels[NUMBER_LABEL]),
        state=state["Status"],
        health=(state.get("Health") or {}).get("Status", ""),
        status=state["ExitCode"],
        started_at=state["StartedAt"],
        restarts=document["RestartCount"],
        ports={int(port.partition("/")[0]): int(on[0]["HostPort"]) for port, on in bindings.items() if on},
        address=next((network["IPAddress"] for network in networks if network["IPAddress"]), ""),
        environment=dict(variable.split("=", 1) for variable in document["Config"].get("Env") or [] if "=" in variable),
    )
