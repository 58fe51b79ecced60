"""`paylab up|down --world compose` with an engine by hand: what is started, what is said, what is refused."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from scenarios import compose_commands
from scenarios.cli import app
from scenarios.worlds import compose_project, compose_secrets
from scenarios.worlds.base import WorldError
from settlement.topology import SERVICES


class Machine:
    """Everything `paylab` would run; containers appear with `compose up` and are healthy at once."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []
        self.environment: dict[str, str] = {}
        self.is_up = False
        self.fails_at = ""

    def __call__(self, command: Sequence[str], environment: Mapping[str, str], directory: Path) -> str:
        verb = next((word for word in command[1:] if not word.startswith("-")), "")
        if verb == self.fails_at:
            raise WorldError("pull access denied")
        if command[0] == "compose":
            self.ran.append(list(command))
            self.environment = dict(environment)
            self.is_up = verb == "up"
        if verb == "ps":
            return "\n".join(SERVICES) if self.is_up else ""
        return json.dumps([self.container(name) for name in command[2:]]) if verb == "inspect" else ""

    def container(self, name: str) -> dict[str, Any]:
        port = SERVICES[name].port
        return {
            "Id": name,
            "Config": {"Labels": {compose_project.SERVICE_LABEL: name, compose_project.NUMBER_LABEL: "1"}},
            "State": {"Status": "running", "ExitCode": 0, "StartedAt": "", "Health": {"Status": "healthy"}},
            "RestartCount": 0,
            "NetworkSettings": {"Ports": {f"{port}/tcp": [{"HostPort": str(port)}]}, "Networks": {}},
        }


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    made = Machine()
    monkeypatch.setattr(compose_project, "run", made)
    monkeypatch.setattr(compose_project, "compose_command", lambda: ("compose",))
    monkeypatch.setattr(compose_commands, "compose_command", lambda: ("docker", "compose"))
    monkeypatch.setattr(compose_commands, "engine_problem", lambda: None)
    monkeypatch.setattr(compose_secrets, "DEFAULT_FOLDER", tmp_path / ".secrets")
    monkeypatch.setattr(compose_secrets, "PROJECT_DIRECTORY", tmp_path)
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    return made


@pytest.fixture
def paylab() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def test_up_builds_starts_and_says_where_everything_is(
    machine: Machine, paylab: Callable[..., Result], tmp_path: Path
) -> None:
    result = paylab("up", "--world", "compose", "--replicas", "gateway=2", "--port", "0")
    assert result.exit_code == 0, result.output
    assert [words[2] for words in machine.ran] == ["build", "up"]
    assert "--scale=gateway=2" in machine.ran[1]
    assert machine.environment["PAYLAB_CONFIGCENTER_PORT"] == ""
    assert machine.environment["PAYLAB_SECRETS"] == str(tmp_path / ".secrets")
    assert ["gateway-1", "http://127.0.0.1:8084"] in [line.split() for line in result.stdout.splitlines()]
    assert "docker compose --profile load up -d --scale locust-worker=4" in result.stdout
    assert "PAYLAB_SECRETS=./.secrets" in (tmp_path / ".env").read_text()
    token = (tmp_path / ".secrets" / "configcenter" / "operator_token").read_text()
    assert token not in result.output


def test_down_keeps_databases_and_secrets_unless_told_otherwise(
    machine: Machine, paylab: Callable[..., Result], tmp_path: Path
) -> None:
    paylab("up", "--world", "compose")
    kept = paylab("down", "--world", "compose")
    assert "its databases are kept" in kept.stderr
    assert "--volumes" not in machine.ran[-1]
    assert (tmp_path / ".secrets").exists()
    deleted = paylab("down", "--world", "compose", "--volumes")
    assert deleted.exit_code == 0, deleted.output
    assert "--volumes" in machine.ran[-1]
    assert not (tmp_path / ".secrets").exists()
    assert "no platform is up" in paylab("down", "--world", "compose").stderr


def test_a_build_without_base_images_says_how_to_make_them(machine: Machine, paylab: Callable[..., Result]) -> None:
    machine.fails_at = "build"
    result = paylab("up", "--world", "compose")
    assert result.exit_code == 3
    assert "pull access denied" in result.stderr
    assert ".ci/images/build" in result.stderr


def test_without_an_engine_the_other_world_is_named(
    machine: Machine, paylab: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compose_commands, "engine_problem", lambda: "no Docker engine answers")
    result = paylab("up", "--world", "compose")
    assert result.exit_code == 3
    assert "no Docker engine answers; start an engine, or use --world processes" in result.stderr


def test_services_do_not_share_containers(machine: Machine, paylab: Callable[..., Result]) -> None:
    result = paylab("up", "--world", "compose", "--topology", "merged")
    assert result.exit_code == 3
    assert "the topology merged is for processes" in result.stderr
