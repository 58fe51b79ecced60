"""The lab's hold on containers, against a real engine: each fault really happens, and is really undone."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import docker
import pytest

from scenarios.worlds.compose_project import NUMBER_LABEL, ONEOFF_LABEL, PROJECT_LABEL, SERVICE_LABEL
from scenarios.worlds.containers import ContainerDeath, Containers, projects
from scenarios.worlds.supervisor import wait_until
from scenarios.worlds.wire import fetched_text

IMAGE = "python:3.11-slim-bookworm"
# A server whose page /die ends it by SIGKILL, as a crash point does.
SERVE = """
import http.server, os

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        os.kill(os.getpid(), 9)

http.server.HTTPServer(("", 8084), Page).serve_forever()
"""
DEADLINE_S = 60.0


@pytest.fixture
def project() -> Iterator[Containers]:
    """One container that looks like Compose's `gateway`, number 1, on a network of its own."""
    client = docker.from_env()
    name = f"paylab-test-{secrets.token_hex(4)}"
    network = client.networks.create(name)
    container = client.containers.create(
        IMAGE,
        ["python", "-c", SERVE],
        labels={PROJECT_LABEL: name, SERVICE_LABEL: "gateway", NUMBER_LABEL: "1", ONEOFF_LABEL: "False"},
        ports={"8084/tcp": ("127.0.0.1", None)},
        nano_cpus=500_000_000,
        restart_policy={"Name": "always"},
        network=name,
        init=True,
        networking_config={name: client.api.create_endpoint_config(aliases=["gateway"])},
    )
    container.start()
    containers = Containers(client, name)
    containers.find()
    try:
        yield containers
    finally:
        containers.close()
        container.remove(force=True)
        network.remove()


def test_a_killed_container_stays_dead_until_it_is_started(project: Containers) -> None:
    project.kill("gateway-0")
    assert wait_until(lambda: not project.is_running("gateway-0"), DEADLINE_S)
    assert project.deaths() == []
    project.start("gateway-0")
    assert project.is_running("gateway-0")
    assert project.port_of("gateway-0", 8084)


def test_a_death_from_inside_is_noticed_with_its_signal(project: Containers) -> None:
    port = project.port_of("gateway-0", 8084)

    def asked_to_die() -> bool:
        fetched_text(f"http://127.0.0.1:{port}/die")
        deaths.extend(project.deaths())
        return bool(deaths)

    deaths: list[ContainerDeath] = []
    assert wait_until(asked_to_die, DEADLINE_S)
    assert (deaths[0].name, deaths[0].status) == ("gateway-0", -9)


def test_throttle_limits_and_gives_back(project: Containers) -> None:
    project.throttle("gateway-0", 0.1)
    assert project.of("gateway-0").attrs["HostConfig"]["NanoCpus"] == 100_000_000
    project.unthrottle("gateway-0")
    assert project.of("gateway-0").attrs["HostConfig"]["NanoCpus"] == 500_000_000


def test_a_container_comes_back_to_its_network_with_its_name(project: Containers) -> None:
    project.sever("gateway-0")
    assert project.of("gateway-0").attrs["NetworkSettings"]["Networks"] == {}
    project.rejoin("gateway-0")
    joined = project.of("gateway-0").attrs["NetworkSettings"]["Networks"][project.project]
    assert "gateway" in joined["Aliases"]
    assert wait_until(lambda: project.port_of("gateway-0", 8084) is not None, DEADLINE_S)


def test_pause_and_usage(project: Containers) -> None:
    project.pause("gateway-0")
    assert project.of("gateway-0").status == "paused"
    project.unpause("gateway-0")
    project.unpause("gateway-0")
    names = project.names()
    usages = project.usages(names)
    assert set(usages) == set(names)
    assert usages["gateway-0"].memory_bytes > 1_000_000
    assert usages["gateway-0"].cpu_s > 0
    stranger = str(project.of("gateway-0").name)
    assert set(project.usages([stranger, "nobody"])) == {stranger}, "others go by their containers' names"
    assert project.project in projects(project.client)
