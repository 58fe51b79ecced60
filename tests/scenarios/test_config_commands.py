"""`paylab config` against a real config center."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner, Result

from scenarios.cli import app
from scenarios.state import PlatformState, birth_s, clear_state, write_state
from scenarios.worlds import compose_secrets

TOKEN = "operator-token-for-tests"
ENVIRONMENT = {
    "PAYLAB_SERVICE_SECRET": "service-secret-for-tests-only-0001",
    "PAYLAB_JWT_SECRET": "jwt-secret-for-tests-only-000000001",
    "PAYLAB_OPERATOR_TOKEN": TOKEN,
    "PAYLAB_NOTIFY_SECRET": "notify-secret-for-tests",
}
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("configcenter")
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "settlement.serve", "--service", "configcenter", "--data", str(folder)],
            stdin=subprocess.PIPE,
            stdout=output,
            env={**os.environ, **ENVIRONMENT},
        )
    deadline_s = time.monotonic() + DEADLINE_S
    address = None
    while address is None:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline_s
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        address = next((line["address"] for line in lines if line["event"] == "ready"), None)
        time.sleep(0.02)
    yield address
    process.terminate()
    process.wait(DEADLINE_S)


@pytest.fixture
def paylab(registry: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """The command, with the platform up; its settings at their defaults."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(compose_secrets, "DEFAULT_FOLDER", tmp_path / ".secrets")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("PAYLAB_OPERATOR_TOKEN", raising=False)
    pid = psutil.Process().pid
    write_state(PlatformState(pid, birth_s(pid) or 0.0, registry, {}, TOKEN, str(tmp_path)))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["config", *arguments])

    assert run("rollback", "0").exit_code == 0
    return run


def test_set_get_history_and_roll_back(paylab: Callable[..., Result]) -> None:
    before = json.loads(paylab("get").stdout)
    assert before["values"] == {}
    done = paylab("set", "http.timeout_ms=1500", "channel.decline_share=0.5", "--comment", "the bank is slow")
    assert done.exit_code == 0, done.output
    assert f"version {before['version'] + 1} of dev is in force" in done.stderr
    assert json.loads(paylab("get").stdout)["values"] == {"http.timeout_ms": 1500, "channel.decline_share": 0.5}
    assert paylab("set", "route.canary=order:0.2.0=10%", "--unset", "channel.decline_share").exit_code == 0
    assert paylab("get", "route.canary").stdout == '"order:0.2.0=10%"\n'
    assert paylab("get", "channel.decline_share").stdout == "0.0\n"
    assert "the bank is slow" in paylab("history", "--limit", "2").stdout
    back = paylab("rollback", str(before["version"] + 1))
    assert back.exit_code == 0, back.output
    assert paylab("get", "channel.decline_share").stdout == "0.5\n"
    assert "rolled back to version" in paylab("history", "--limit", "1").stdout


def test_every_problem_of_bad_values_is_named_and_nothing_is_changed(paylab: Callable[..., Result]) -> None:
    before = paylab("get").stdout
    refused = paylab("set", "http.timeout_ms=0", "no.such=1", "log.level=LOUD")
    assert refused.exit_code == 2
    assert [line.split(":")[0] for line in refused.stderr.splitlines()] == ["http.timeout_ms", "log.level", "no.such"]
    assert paylab("set", "http.timeout_ms").exit_code == 2
    assert paylab("get", "no.such").exit_code == 2
    assert paylab("get").stdout == before


def test_a_profile_nobody_knows_a_version_nobody_wrote_and_a_wrong_token(
    paylab: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert paylab("get", "--profile", "production").exit_code == 3
    gone = paylab("rollback", "999")
    assert gone.exit_code == 3
    assert "no version 999" in gone.stderr
    monkeypatch.setenv("PAYLAB_OPERATOR_TOKEN", "something else entirely")
    assert "PAYLAB_OPERATOR_TOKEN" in paylab("set", "channel.seed=1").stderr


def test_without_a_platform_the_command_says_so(
    paylab: Callable[..., Result], registry: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    nobody = paylab("get")
    assert (nobody.exit_code, "no platform is up" in nobody.stderr) == (3, True)
    assert paylab("get", "--registry", "http://127.0.0.1:9").exit_code == 3
    assert paylab("get", "--registry", registry).exit_code == 0


def test_the_platform_in_containers_is_found_by_its_secrets(
    registry: str, paylab: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clear_state()
    assert "no platform is up" in paylab("get").stderr
    compose_secrets.ensure(tmp_path / ".secrets")
    source = tmp_path / ".secrets" / compose_secrets.SOURCE
    made = json.loads(source.read_text())
    made["shared"]["operator_token"] = TOKEN
    source.write_text(json.dumps(made))
    monkeypatch.setenv("PAYLAB_CONFIGCENTER_PORT", registry.rpartition(":")[2])
    assert paylab("set", "channel.latency_ms=9").exit_code == 0
    assert paylab("get", "channel.latency_ms").stdout.strip() == "9"
