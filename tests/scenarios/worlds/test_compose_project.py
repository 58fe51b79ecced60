"""A Compose project by hand: what it asks of Compose and of the engine, and what it makes of their answers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from scenarios.worlds import compose_project
from scenarios.worlds.base import WorldError
from scenarios.worlds.compose_project import ComposeProject, port_variable, run


def document(service: str, number: int = 1, **state: Any) -> dict[str, Any]:
    health = {"Health": {"Status": state.pop("health")}} if "health" in state else {}
    labels = {compose_project.SERVICE_LABEL: service, compose_project.NUMBER_LABEL: str(number)}
    return {
        "Id": f"id-{service}-{number}",
        "Config": {"Labels": labels},
        "State": {"Status": "running", "ExitCode": 0, "StartedAt": "2026-01-31T12:00:00Z", **health, **state},
        "RestartCount": 0,
        "NetworkSettings": {
            "Ports": {"8084/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(40_000 + number)}], "9999/tcp": None},
            "Networks": {"paylab_default": {"IPAddress": "172.18.0.5"}},
        },
    }


class Engine:
    """Answers `docker` from a list of containers, and notes what Compose is asked for."""

    def __init__(self, *containers: dict[str, Any]) -> None:
        self.containers = {container["Id"]: container for container in containers}
        self.asked: list[list[str]] = []
        self.environments: list[Mapping[str, str]] = []
        self.vanished: set[str] = set()
        self.logs: dict[str, str] = {}
        self.fails = ""
        self.looks = 0

    def __call__(self, command: Sequence[str], environment: Mapping[str, str], directory: Path) -> str:
        if command[0] == "sh":
            return self.logs.get(command[-1], f"log of {command[-1]}")
        if command[:2] == ["docker", "ps"]:
            self.looks += 1
            self.on_look()
            return "\n".join(self.containers)
        if command[:2] == ["docker", "inspect"]:
            if self.vanished & set(command[2:]):
                raise WorldError("Error: No such object")
            return json.dumps([self.containers[each] for each in command[2:]])
        if self.fails:
            raise WorldError(self.fails)
        self.asked.append(list(command))
        self.environments.append(environment)
        return ""

    def on_look(self) -> None:
        """Something may happen between two looks."""


def test_the_profile_of_the_settings_is_what_the_config_center_was_started_with() -> None:
    gateway, center = document("gateway"), document("configcenter")
    assert ComposeProject("p", run=Engine(gateway, center)).profile() == "dev"
    center["Config"]["Env"] = ["PATH=/bin", "PAYLAB_PROFILE=prod", "EMPTY"]
    assert ComposeProject("p", run=Engine(gateway, center)).profile() == "prod"
    assert ComposeProject("p", run=Engine()).profile() == "dev"


@pytest.fixture(autouse=True)
def one_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose_project, "compose_command", lambda: ("compose",))
    monkeypatch.setattr(compose_project, "POLL_INTERVAL_S", 0.0)


def test_containers_are_told_by_service_and_number() -> None:
    engine = Engine(document("gateway", 2, health="starting"), document("gateway"), document("cart", health="healthy"))
    found = ComposeProject("p", run=engine).ps()
    assert [container.name for container in found] == ["cart-1", "gateway-1", "gateway-2"]
    assert [container.is_well for container in found] == [True, True, False]
    assert found[2].ports == {8084: 40_002}
    assert found[2].address == "172.18.0.5"
    assert ComposeProject("p", run=engine).address("gateway", 2) == "http://127.0.0.1:40002"
    assert ComposeProject("p", run=engine).address("gateway", 3) is None


def test_a_container_that_goes_while_it_is_looked_at_is_left_out() -> None:
    engine = Engine(document("gateway"), document("cart"))
    engine.vanished = {"id-gateway-1"}
    assert [container.name for container in ComposeProject("p", run=engine).ps()] == ["cart-1"]


def test_fixed_ports_become_free_ones_for_what_is_scaled(tmp_path: Path) -> None:
    engine = Engine()
    ComposeProject("p", tmp_path, run=engine).up(scale={"gateway": 2, "cart": 1})
    assert engine.asked[0][1:] == [
        "--project-name=p", "up", "--detach", "--no-build", "--scale=gateway=2", "--scale=cart=1",
    ]  # fmt: skip
    assert engine.environments[0]["PAYLAB_GATEWAY_PORT"] == ""
    assert "PAYLAB_CART_PORT" not in engine.environments[0]
    assert engine.environments[0]["PAYLAB_SECRETS"] == str(tmp_path)


def test_a_project_with_free_ports_leaves_the_fixed_ones_to_others() -> None:
    engine = Engine()
    ComposeProject("p", ports="free", environment={"PAYLAB_RESTART": "no"}, run=engine).up()
    assert {engine.environments[0][port_variable(service)] for service in compose_project.PORTS} == {""}
    assert engine.environments[0]["PAYLAB_LOCUST_PORT"] == ""
    assert engine.environments[0]["PAYLAB_RESTART"] == "no"


def test_one_service_of_each_image_is_asked_to_build_it() -> None:
    engine = Engine()
    ComposeProject("p", run=engine).build()
    ComposeProject("p", profiles=("load", "observability"), run=engine).build()
    assert [words[words.index("--quiet") + 1 :] for words in engine.asked] == [
        ["configcenter"],
        ["configcenter", "locust-master"],
    ]


def test_scaling_leaves_the_others_alone() -> None:
    engine = Engine()
    ComposeProject("p", run=engine).scale("order", 3)
    assert "--no-deps" in engine.asked[0]
    assert "--no-recreate" in engine.asked[0]
    assert engine.asked[0][-2:] == ["--scale=order=3", "order"]


def test_down_reaches_every_profile() -> None:
    engine = Engine()
    ComposeProject("p", run=engine).down(volumes=True)
    assert {"--profile=load", "--profile=observability", "--remove-orphans", "--volumes"} <= set(engine.asked[0])


def test_waiting_says_who_is_waited_for_until_all_are_healthy() -> None:
    class Starting(Engine):
        def on_look(self) -> None:
            if self.looks == 3:
                self.containers["id-gateway-1"] = document("gateway", health="healthy")

    said: list[str] = []
    engine = Starting(document("gateway", health="starting"), document("mariadb", health="healthy"))
    ComposeProject("p", run=engine).await_healthy(on_change=said.append)
    assert said == ["1 of 2 healthy; waiting for gateway-1"]


def test_one_that_stays_unhealthy_is_shown_with_its_last_words() -> None:
    engine = Engine(document("gateway", health="starting"), document("cart", Status="restarting", health="unhealthy"))
    with pytest.raises(WorldError) as raised:
        ComposeProject("p", run=engine).await_healthy(deadline_s=0.0)
    assert "cart-1 (restarting unhealthy), gateway-1 (running starting)" in str(raised.value)
    assert "the end of cart-1's log:\nlog of id-cart-1" in str(raised.value)


SERVICE_IS_DENIED = """(1045, "Access denied for user 'cart'@'172.18.0.9' (using password: YES)")"""
DATABASE_DENIES = "[Warning] Access denied for user 'healthcheck'@'localhost' (using password: YES)"


@pytest.mark.parametrize("state", [{"Status": "restarting"}, {"Status": "exited", "ExitCode": 1}], ids=str)
def test_volumes_with_other_secrets_are_told_at_once(state: dict[str, Any]) -> None:
    engine = Engine(document("gateway", health="starting"), {**document("cart", **state), "RestartCount": 1})
    engine.logs["id-cart-1"] = f"starting\n{SERVICE_IS_DENIED}\nstopped"
    with pytest.raises(WorldError) as raised:
        ComposeProject("p", run=engine).await_healthy()
    assert "checkout with other secrets: `make down VOLUMES=1` first" in str(raised.value)
    assert f"the end of cart-1's log:\n{engine.logs['id-cart-1']}" in str(raised.value)


def test_a_database_that_nobody_can_ask_whether_it_is_well_is_told_of_too() -> None:
    engine = Engine(document("mariadb", health="unhealthy"), document("cart", Status="created"))
    engine.fails, engine.logs["id-mariadb-1"] = "dependency failed to start", DATABASE_DENIES
    with pytest.raises(WorldError, match="`make down VOLUMES=1` first"):
        ComposeProject("p", run=engine).up()


@pytest.mark.parametrize("said", [SERVICE_IS_DENIED, DATABASE_DENIES, "Access denied for user 'x' to database 'y'"])
def test_who_is_well_or_lacks_only_a_grant_is_no_sign_of_other_secrets(said: str) -> None:
    engine = Engine(document("mariadb", health="healthy"), document("cart", health="starting"))
    engine.logs["id-cart-1" if "database" in said else "id-mariadb-1"] = said
    with pytest.raises(WorldError) as raised:
        ComposeProject("p", run=engine).await_healthy(deadline_s=0.0)
    engine.fails = "no space left"
    with pytest.raises(WorldError) as failed:
        ComposeProject("p", run=engine).up()
    assert "VOLUMES" not in f"{raised.value} {failed.value}"


def test_nothing_there_is_not_healthy() -> None:
    with pytest.raises(WorldError, match="no containers"):
        ComposeProject("p", run=Engine()).await_healthy(deadline_s=0.0)


def test_logs_are_one_file_a_container(tmp_path: Path) -> None:
    ComposeProject("p", run=Engine(document("gateway"), document("gateway", 2))).logs(tmp_path / "logs")
    assert {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()} == {
        "gateway-1.log": "log of id-gateway-1",
        "gateway-2.log": "log of id-gateway-2",
    }


def test_without_a_checkout_there_is_nothing_to_compose(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"there is no docker-compose\.yml in"):
        ComposeProject("p", directory=tmp_path, run=Engine()).build()


def test_a_command_that_fails_is_quoted_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="failed \\(3\\): no such thing"):
        run(["sh", "-c", "echo no such thing >&2; exit 3"], {}, tmp_path)
    assert run(["sh", "-c", "echo $GIVEN"], {"GIVEN": "yes"}, tmp_path) == "yes\n"
