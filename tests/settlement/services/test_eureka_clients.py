"""A real Eureka client against a real config center: registers, renews, finds peers, is found, deregisters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("py_eureka_client")

DEADLINE_S = 60.0
PASSWORD = "eureka-password-for-tests"
ENVIRONMENT = {
    "PAYLAB_SERVICE_SECRET": "service-secret-for-tests-only-0001",
    "PAYLAB_JWT_SECRET": "jwt-secret-for-tests-only-000000001",
    "PAYLAB_OPERATOR_TOKEN": "operator-token-for-tests",
    "PAYLAB_NOTIFY_SECRET": "notify-secret-for-tests",
    "PAYLAB_EUREKA_TOKEN": PASSWORD,
    # The registry is new and would keep Eureka clients waiting for one lease: a short one for the test.
    "PAYLAB_CONFIG": json.dumps({"registry.lease_ms": 300, "registry.renew_interval_ms": 50}),
}


def eventually(condition: Callable[[], Any]) -> Any:
    deadline_s = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return value


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a config center in a process of its own."""
    folder: Path = tmp_path_factory.mktemp("eureka")
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "settlement.serve", "--service", "configcenter", "--data", str(folder)],
            stdout=output,
            stdin=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **ENVIRONMENT},
        )

    def address() -> str | None:
        assert process.poll() is None, log.read_text()
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return next((line["address"] for line in lines if line["event"] == "ready"), None)

    try:
        found = eventually(address)
        eventually(lambda: not get(f"{found}/registry")["warming"])
        yield found
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


@pytest.fixture(scope="module")
def greeter() -> Iterator[int]:
    """The port of a tiny service for Eureka clients to announce."""

    class Greeter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"greeting": "hello"}')

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Greeter)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


class Client:
    """`eureka_client.py` in a process."""

    def __init__(self, registry: str, app: str, port: int, password: str = PASSWORD) -> None:
        url = registry.replace("http://", f"http://eureka:{password}@") + "/eureka/"
        script = Path(__file__).with_name("eureka_client.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), url, app, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.started = self._hear()

    def call(self, app: str, path: str) -> dict[str, Any]:
        return self._say(f"call {app} {path}")

    def end(self) -> dict[str, Any]:
        return self._say("end")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _say(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        # The package logs to the same place.
        line = next(line for line in self.process.stdout if line.startswith("{"))
        heard: dict[str, Any] = json.loads(line)
        return heard


@pytest.fixture
def client(registry: str, greeter: int) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def start(app: str, **options: Any) -> Client:
        made.append(Client(registry, app, greeter, **options))
        return made[-1]

    yield start
    for each in made:
        each.kill()


def test_a_client_registers_renews_finds_peers_is_found_and_leaves(
    registry: str, greeter: int, client: Callable[..., Client]
) -> None:
    loyalty = client("loyalty")
    assert loyalty.started == {"started": True, "errors": []}
    (entry,) = get(f"{registry}/registry")["services"]["loyalty"]
    identity = f"127.0.0.1:loyalty:{greeter}"
    assert entry == {
        "replica": identity,
        "address": f"http://127.0.0.1:{greeter}",
        "version": "9.9.9",
        "weight": 20,
        "status": "UP",
    }
    assert loyalty.call("configcenter", "/health/ready")["answer"]["replica"] == "configcenter-0"
    peer = client("coupons")
    assert peer.call("loyalty", "/")["answer"] == {"greeting": "hello"}

    def lease() -> Any:
        request = urllib.request.Request(
            f"{registry}/eureka/apps/LOYALTY/{identity}", headers={"Accept": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["instance"]["leaseInfo"]

    first = lease()
    assert first["durationInSecs"] == 3
    # Longer than the lease: only heartbeats keep it.
    eventually(lambda: lease()["lastRenewalTimestamp"] >= first["registrationTimestamp"] + 3_500)
    assert loyalty.end() == {"ended": True, "errors": []}
    assert "loyalty" not in get(f"{registry}/registry")["services"]
    peer.kill()
    eventually(lambda: "coupons" not in get(f"{registry}/registry")["services"])


def test_a_client_with_a_wrong_password_is_told(registry: str, client: Callable[..., Client]) -> None:
    stranger = client("stranger", password="not-the-password")
    assert "EUREKA_ERROR_REGISTER" in "".join(stranger.started["errors"])
    assert "stranger" not in get(f"{registry}/registry")["services"]
