"""Real processes: how they start, what they refuse, and all the ways they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 60.0
SHELL = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
SECRETS = {
    "PAYLAB_SERVICE_SECRET": "service-secret-for-tests-only-0001",
    "PAYLAB_JWT_SECRET": "jwt-secret-for-tests-only-000000001",
    "PAYLAB_OPERATOR_TOKEN": "operator-token-for-tests",
    "PAYLAB_NOTIFY_SECRET": "notify-secret-for-tests",
    "PAYLAB_FAULT_TOKEN": "fault-token-for-tests-1",
}


class Started:
    """A process under test with its log."""

    def __init__(self, log: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "settlement.serve", *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                env={**SHELL, **(SECRETS if environment is None else environment)},
            )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def addresses(self) -> dict[str, str]:
        """Wait until everything asked for is ready; replica -> address."""
        wanted = sum(argument == "--service" for argument in self.process.args)  # type: ignore[union-attr]

        def ready() -> dict[str, str]:
            assert self.process.poll() is None, self.log.read_text() + self.process.stderr.read()  # type: ignore[union-attr]
            found = {line["replica"]: line["address"] for line in self.lines() if line["event"] == "ready"}
            return found if len(found) == wanted else {}

        found: dict[str, str] = eventually(ready)
        return found

    def ended(self) -> int:
        return self.process.wait(DEADLINE_S)


def eventually(condition: Callable[[], Any]) -> Any:
    deadline_s = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    return value


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def starter(*arguments: str, **options: Any) -> Started:
        made = Started(tmp_path / f"log-{len(started)}", "--data", str(tmp_path / "data"), *arguments, **options)
        started.append(made)
        return made

    yield starter
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        for pipe in (one.process.stdin, one.process.stderr):
            if pipe is not None:
                pipe.close()


def _get(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=60) as reply:
        return json.load(reply)


def test_two_services_find_each_other_and_stop_in_order(start: Any, tmp_path: Path) -> None:
    center = start("--service", "configcenter")
    address = center.addresses()["configcenter-0"]
    users = start("--service", "usercenter", "--replica", "usercenter-7", "--registry", address)
    users.addresses()
    assert set(_get(f"{address}/registry")["services"]) == {"configcenter", "usercenter"}
    users.process.send_signal(signal.SIGTERM)
    assert users.ended() == 0
    assert set(_get(f"{address}/registry")["services"]) == {"configcenter"}
    center.process.send_signal(signal.SIGTERM)
    assert center.ended() == 0
    assert not list((tmp_path / "data").glob("*-wal")), "the databases were closed"
    with sqlite3.connect(tmp_path / "data" / "usercenter.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_several_services_share_a_process(start: Any) -> None:
    merged = start("--service", "usercenter", "--service", "configcenter")
    addresses = merged.addresses()
    assert len(set(addresses.values())) == 2
    assert set(_get(f"{addresses['configcenter-0']}/registry")["services"]) == {"configcenter", "usercenter"}
    merged.process.send_signal(signal.SIGTERM)
    assert merged.ended() == 0


def test_the_end_of_standard_input_is_an_orderly_stop(start: Any) -> None:
    center = start("--service", "configcenter")
    center.addresses()
    center.process.stdin.close()
    assert center.ended() == 0
    said = [(line["event"], line.get("reason")) for line in center.lines()]
    assert ("stopping", "end of standard input") in said
    assert said[-1] == ("stopped", None)


def test_a_service_that_waits_for_its_registry_can_be_stopped(start: Any) -> None:
    users = start("--service", "usercenter", "--registry", "http://127.0.0.1:9")
    eventually(lambda: any(line["event"] == "waiting_for_registry" for line in users.lines()))
    users.process.send_signal(signal.SIGTERM)
    assert users.ended() == 0


def test_known_peers_and_settings_outlive_the_registry(start: Any) -> None:
    center = start("--service", "configcenter")
    address = center.addresses()["configcenter-0"]
    users = start("--service", "usercenter", "--registry", address)
    own = users.addresses()["usercenter-0"]
    center.process.kill()
    center.ended()
    eventually(lambda: any(line["event"] == "registry_unreachable" for line in users.lines()))
    assert _get(f"{own}/health/ready")["status"] == "ready"
    port = address.rsplit(":", 1)[1]
    start("--service", "configcenter", "--port", port).addresses()
    eventually(lambda: any(line["event"] == "registry_reachable_again" for line in users.lines()))
    assert set(_get(f"{address}/registry")["services"]) == {"configcenter", "usercenter"}


def test_settings_change_under_a_running_service(start: Any) -> None:
    center = start("--service", "configcenter", "--service", "usercenter")
    addresses = center.addresses()
    body = json.dumps({"values": {"http.body_bytes_max": 256}}).encode()
    headers = {"Paylab-Operator-Token": SECRETS["PAYLAB_OPERATOR_TOKEN"], "content-type": "application/json"}
    request = urllib.request.Request(f"{addresses['configcenter-0']}/config/dev", body, headers, method="PUT")
    urllib.request.urlopen(request, timeout=60).close()

    def refused() -> bool:
        try:
            urllib.request.urlopen(f"{addresses['usercenter-0']}/sessions", b"x" * 300, timeout=60).close()
        except urllib.error.HTTPError as error:
            return error.code == 413
        return False

    eventually(refused)


def test_a_busy_port_is_named(start: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        center = start("--service", "configcenter", "--port", port)
        assert center.ended() == 3
    lines = center.process.stderr.read().splitlines()
    assert len(lines) == 1
    assert port in lines[0]
    assert "configcenter-0" in lines[0]


def test_missing_secrets_are_all_named(start: Any) -> None:
    center = start("--service", "configcenter", environment={"PAYLAB_JWT_SECRET": "too short"})
    assert center.ended() == 2
    said = center.process.stderr.read()
    assert all(name in said for name in SECRETS if name != "PAYLAB_FAULT_TOKEN")
    assert "Traceback" not in said


def test_secrets_may_come_from_files(start: Any, tmp_path: Path) -> None:
    environment = {}
    for name, value in SECRETS.items():
        (tmp_path / name).write_text(value + "\n")
        environment[f"{name}_FILE"] = str(tmp_path / name)
    center = start("--service", "configcenter", environment=environment)
    address = center.addresses()["configcenter-0"]
    headers = {"Paylab-Operator-Token": SECRETS["PAYLAB_OPERATOR_TOKEN"], "content-type": "application/json"}
    request = urllib.request.Request(f"{address}/config/dev", b'{"values":{}}', headers, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as reply:
        assert reply.status == 200


def test_unusable_secret_files_are_all_named(start: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    environment = SECRETS | {
        "PAYLAB_FAULT_TOKEN_FILE": str(tmp_path / "empty"),
        "PAYLAB_DATABASE_URL_FILE": str(tmp_path / "missing"),
        "PAYLAB_REDIS_URL_FILE": str(tmp_path / "empty"),
    }
    center = start("--service", "configcenter", environment=environment)
    assert center.ended() == 2
    said = center.process.stderr.read().splitlines()
    assert len(said) == 3
    assert "both PAYLAB_FAULT_TOKEN and PAYLAB_FAULT_TOKEN_FILE are set" in said[0]
    assert "PAYLAB_DATABASE_URL_FILE: cannot read" in said[1]
    assert f"{tmp_path / 'empty'} is empty" in said[2]


def test_services_that_share_a_process_cannot_share_a_schema(start: Any) -> None:
    environment = SECRETS | {"PAYLAB_DATABASE_URL": "mariadb://cart:secret@127.0.0.1/cart"}
    merged = start("--service", "configcenter", "--service", "cart", environment=environment)
    assert merged.ended() == 2
    said = merged.process.stderr.read()
    assert "PAYLAB_DATABASE_URL is one service's own schema" in said
    assert "secret" not in said


def test_replicas_on_a_network_are_registered_by_their_host(start: Any) -> None:
    center = start("--service", "configcenter", "--port", "0", "--host", "0.0.0.0", "--advertise", "localhost")
    name = f"configcenter-{socket.gethostname().lower()[:24]}"
    address = center.addresses()[name]
    assert address.startswith("http://localhost:")
    entries = _get(f"{address}/registry")["services"]["configcenter"]
    assert [(entry["replica"], entry["address"]) for entry in entries] == [(name, address)]


@pytest.mark.parametrize(
    ("config", "named"), [("{", "JSON"), ("[]", "object"), ('{"no.such":1,"log.level":2}', "no.such")]
)
def test_bad_initial_settings_are_refused(start: Any, config: str, named: str) -> None:
    center = start("--service", "configcenter", environment={**SECRETS, "PAYLAB_CONFIG": config})
    assert center.ended() == 2
    assert named in center.process.stderr.read()


def test_a_data_folder_that_cannot_be_used_is_named(start: Any, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    center = start("--service", "configcenter")
    assert center.ended() == 3
    said = center.process.stderr.read()
    assert str(tmp_path / "data") in said
    assert "Traceback" not in said


def test_a_damaged_database_is_named(start: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "configcenter.sqlite").write_bytes(b"this is not a database" * 100)
    center = start("--service", "configcenter")
    assert center.ended() == 3
    said = center.process.stderr.read()
    assert "configcenter.sqlite" in said
    assert "Traceback" not in said


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux's")
def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-m", "settlement.serve", "--service", "configcenter",
                                  "--data", sys.argv[1], "--die-with-parent"], stdin=subprocess.DEVNULL)
        print(child.pid, flush=True)
        time.sleep(60)
        """
    )
    log = tmp_path / "log"
    with log.open("w") as output:
        parent = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "data")],
            stdout=output,
            env={**SHELL, **SECRETS},
        )
    eventually(lambda: '"ready"' in log.read_text())
    child = int(log.read_text().splitlines()[0])
    parent.kill()
    parent.wait()
    eventually(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
