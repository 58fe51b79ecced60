"""`paylab doubt` against a registry and a gateway made by hand: what it asks, what it shows, what it refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner, Result

from scenarios.cli import app
from scenarios.state import PlatformState, birth_s, write_state
from scenarios.worlds import compose_secrets

TOKEN, GID = "operator-token-for-tests", "p1795489318301abcdef0123456789"
PARTY = {"vote": "yes", "why": "", "voted_at_ms": 1, "applied_at_ms": None, "in_doubt_ms": None, "inquiries": 0}
TRANSACTION = {
    "gid": GID, "kind": "payment", "state": "exhausted", "decision": "commit", "overruled": None, "epoch": 2,
    "owner": "gateway-1/3fe2", "lease_left_ms": -4_000, "attempts": 60, "age_ms": 301_000, "heuristic": False,
    "advice": "exhausted: commit is not acknowledged by payment for 5 min", "participants": [
        {**PARTY, "name": "order", "standing": "committed"},
        {**PARTY, "name": "payment", "standing": "prepared", "in_doubt_ms": 300_000, "inquiries": 58},
    ],
}  # fmt: skip


class Platform(ThreadingHTTPServer):
    """Registry and gateway at one address. `answers` are status and body by method and path; `asked` is what came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.address = f"http://127.0.0.1:{self.server_port}"
        dead = {"replica": "gateway-0", "address": "http://127.0.0.1:9"}
        alive = {"replica": "gateway-1", "address": self.address}
        listed = "GET /operator/transactions?state=open&older_than_ms=1000"
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, tuple[int, Any]] = {
            "GET /registry": (200, {"services": {"gateway": [dead, alive]}}),
            "GET /health/live": (200, {}),
            listed: (200, {"transactions": [TRANSACTION]}),
        }

    def ordered(self, action: str, status: int, **body: Any) -> None:
        self.answers[f"POST /operator/transactions/{GID}/{action}"] = (status, body)


class Answering(BaseHTTPRequestHandler):
    server: Platform

    def do_GET(self) -> None:
        asked = f"{self.command} {self.path}"
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.asked.append((asked, body))
        status, answer = self.server.answers.get(asked, (404, {"title": "No such transaction"}))
        if "/operator/" in self.path and self.headers["Paylab-Operator-Token"] != TOKEN:
            status, answer = 401, {"code": "token_required"}
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def paylab(platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """The command, with the platform up."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("PAYLAB_OPERATOR_TOKEN", raising=False)
    pid = psutil.Process().pid
    write_state(PlatformState(pid, birth_s(pid) or 0.0, platform.address, {}, TOKEN, str(tmp_path)))
    return lambda *arguments: CliRunner().invoke(app, ["doubt", *arguments])


def test_the_table_tells_who_waits_for_what_and_the_advice_what_to_do(paylab: Callable[..., Result]) -> None:
    shown = paylab("list")
    assert shown.exit_code == 0, shown.output
    words = " ".join(shown.stdout.split())
    assert GID in words
    assert "5 min" in words
    assert {"gateway-1,", "epoch"} <= set(words.split()), "who drives it, however wide the terminal is"
    assert "asked 58x" in words
    assert f"{GID}: exhausted: commit is not acknowledged by payment for 5 min" in shown.stdout


def test_as_json_it_is_everything_known(paylab: Callable[..., Result]) -> None:
    assert json.loads(paylab("list", "--json").stdout) == [TRANSACTION]


def test_nothing_in_doubt_is_said_so(paylab: Callable[..., Result], platform: Platform) -> None:
    platform.answers["GET /operator/transactions?state=exhausted&older_than_ms=60000"] = (200, {"transactions": []})
    answer = paylab("list", "--state", "exhausted", "--older", "1min")
    assert (answer.exit_code, answer.stderr.strip()) == (0, "nothing is in doubt")


@pytest.mark.parametrize("action", ["commit", "abort"])
def test_an_order_carries_who_and_why(paylab: Callable[..., Result], platform: Platform, action: str) -> None:
    platform.ordered(action, 200, gid=GID, state="decided", decision="commit", overruled=None, heuristic=False)
    done = paylab(action, GID, "--reason", "payment is back")
    assert done.exit_code == 0, done.output
    assert "decided, commit is what participants are told" in done.stderr
    body = platform.asked[-1][1]
    assert (body["reason"], body["against_decision"], bool(body["operator"])) == ("payment is back", False, True)


def test_against_the_decision_one_has_to_insist_and_hears_that_it_is_heuristic(
    paylab: Callable[..., Result], platform: Platform
) -> None:
    detail = {"title": "The protocol has decided otherwise", "code": "contradicts_decision"}
    platform.ordered("abort", 409, **detail)
    refused = paylab("abort", GID, "--reason", "goods are needed")
    assert (refused.exit_code, "--against-decision insists" in refused.stderr) == (3, True)
    platform.ordered("abort", 200, gid=GID, state="decided", decision="commit", overruled="abort", heuristic=True)
    done = paylab("abort", GID, "--reason", "goods are needed", "--against-decision")
    assert "abort is what participants are told; a heuristic decision" in done.stderr
    assert platform.asked[-1][1]["against_decision"] is True


def test_forget_wants_a_yes_and_asks_nobody_without_it(paylab: Callable[..., Result], platform: Platform) -> None:
    refused = paylab("forget", GID, "--reason", "settled by hand")
    assert (refused.exit_code, "add --yes" in refused.stderr, platform.asked) == (2, True, [])
    platform.ordered("forget", 409, title="Somebody may still be in doubt about it", detail="payment is prepared")
    early = paylab("forget", GID, "--reason", "settled by hand", "--yes")
    assert (early.exit_code, "payment is prepared" in early.stderr) == (3, True)
    platform.ordered("forget", 200, gid=GID, state="closed", decision="commit", overruled=None, heuristic=True)
    assert paylab("forget", GID, "--reason", "settled by hand", "--yes").exit_code == 0


def test_without_a_platform_a_gateway_or_a_token_the_command_says_so(
    paylab: Callable[..., Result], platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "No such transaction" in paylab("show", "p2").stderr
    monkeypatch.setenv("PAYLAB_OPERATOR_TOKEN", "something else")
    assert "PAYLAB_OPERATOR_TOKEN" in paylab("list").stderr
    platform.answers["GET /registry"] = (200, {"services": {}})
    assert "knows no gateway" in paylab("list").stderr
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(compose_secrets, "DEFAULT_FOLDER", tmp_path / "none")
    nobody = paylab("list")
    assert (nobody.exit_code, "no platform is up" in nobody.stderr) == (3, True)
