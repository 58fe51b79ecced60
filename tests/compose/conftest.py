"""The platform in containers, up once for all tests of a module, beside whatever else runs on the engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scenarios.worlds import compose_secrets
from scenarios.worlds.base import WorldError
from scenarios.worlds.compose_project import ComposeProject, Container, engine_problem
from scenarios.worlds.compose_secrets import ComposeSecrets

BASE_IMAGES = ("python:3.11-slim-bookworm", "mariadb:10.11", "redis:7")


@dataclass(frozen=True)
class Platform:
    """A project that is up and healthy, and what it is secured with."""

    project: ComposeProject
    secrets: ComposeSecrets

    def container(self, service: str, number: int = 1) -> Container:
        """As the engine shows it now."""
        return next(each for each in self.project.ps() if (each.service, each.number) == (service, number))

    def address(self, service: str, number: int = 1) -> str:
        """Where it is published now."""
        found = self.project.address(service, number)
        assert found is not None, f"{service}-{number} is published nowhere"
        return found

    def run(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside a container, as its user."""
        inside = ["docker", "exec", self.container(service).id, *command]
        return subprocess.run(inside, capture_output=True, text=True, check=False)

    def shell(self, service: str, script: str) -> str:
        """What a shell script says inside a container, as its user."""
        return self.run(service, "sh", "-c", script).stdout


def refuse(reason: str) -> None:
    """Under CI a machine that cannot run containers is a failure; elsewhere it is a reason to skip."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engine() -> None:
    """An engine that answers, and the base images."""
    problem = engine_problem()
    if problem is not None:
        refuse(problem)
    present = [["docker", "image", "inspect", image] for image in BASE_IMAGES]
    if any(subprocess.run(command, capture_output=True, check=False).returncode for command in present):
        refuse(f"not all base images are here ({', '.join(BASE_IMAGES)}); .ci/images/build pulls or makes them")


@pytest.fixture(scope="module")
def platform(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Everything up and healthy at free ports; gone afterwards, with its volumes and the names of its images.

    Of a module, not of the session: platforms that other modules start would share the machine with it.
    """
    folder = tmp_path_factory.mktemp("compose") / "secrets"
    name = f"paylab-test-{os.getpid()}"
    environment = {"PAYLAB_IMAGES": name, "PAYLAB_FAULT_TOKEN_FILE": "/run/secrets/fault_token"}
    project = ComposeProject(name, folder, ports="free", environment=environment)
    made = compose_secrets.ensure(folder)
    project.build()
    try:
        project.up()
        project.await_healthy()
        yield Platform(project, made)
    finally:
        _keep_logs(project)
        project.down(volumes=True)
        for image in ("services", "load"):
            subprocess.run(["docker", "rmi", f"{project.name}/{image}"], capture_output=True, check=False)


def _keep_logs(project: ComposeProject) -> None:
    """Under CI the containers' logs outlive them, where `PAYLAB_TEST_LOGS` says."""
    folder = os.environ.get("PAYLAB_TEST_LOGS")
    if folder:
        try:
            project.logs(Path(folder))
        except WorldError as error:
            print(f"no logs: {error}")
