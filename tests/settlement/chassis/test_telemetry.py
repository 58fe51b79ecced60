"""Logs are JSON lines that carry trace and gid; the level is followed while running."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from settlement.chassis.telemetry import configure_logging, get_logger
from settlement.chassis.trace import bind_gid, continued_trace, enter_trace, leave_trace


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    configure_logging("WARNING")


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_carries_service_replica_trace_and_gid(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    token = enter_trace(continued_trace(f"00-{'ab' * 16}-{'cd' * 8}-01"))
    bind_gid("gid-7")
    get_logger("gateway", "gateway-0").info("decided", decision="commit", note="line\nbreak")
    leave_trace(token)
    (line,) = _lines(capsys)
    assert line.pop("ts").endswith("+00:00")
    assert line == {
        "level": "info", "service": "gateway", "replica": "gateway-0", "event": "decided",
        "trace_id": "ab" * 16, "gid": "gid-7", "decision": "commit", "note": "line\nbreak",
    }  # fmt: skip


def test_a_gid_given_with_the_line_wins(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    get_logger("gateway", "gateway-0").info("recovered", gid="gid-9")
    assert _lines(capsys)[0]["gid"] == "gid-9"


def test_an_exception_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        get_logger("gateway", "gateway-0").exception("failed")
    (line,) = _lines(capsys)
    assert "RuntimeError: broken" in line["exception"]


def test_an_existing_logger_follows_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING")
    log = get_logger("gateway", "gateway-0")
    log.info("unheard")
    configure_logging("INFO")
    log.info("heard")
    assert [line["event"] for line in _lines(capsys)] == ["heard"]


def test_libraries_are_heard_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    logging.getLogger("aiohttp.client").warning("something about %s", "sockets")
    (line,) = _lines(capsys)
    assert (line["logger"], line["message"]) == ("aiohttp.client", "something about sockets")


def test_one_service_and_one_library_can_have_levels_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    def speak() -> list[str]:
        get_logger("gateway", "gateway-0").debug("a gateway's")
        get_logger("order", "order-0").debug("an order's")
        get_logger("order", "order-0").warning("an order's warning")
        logging.getLogger("aiohttp.client").debug("aiohttp's")
        logging.getLogger("asyncio").info("asyncio's")
        return [line.get("message", line["event"]) for line in _lines(capsys)]

    configure_logging("WARNING", {"gateway": "DEBUG", "aiohttp": "DEBUG"})
    assert speak() == ["a gateway's", "an order's warning", "aiohttp's"]
    configure_logging("INFO", {"order": "ERROR"})
    assert speak() == []
    configure_logging("WARNING")
    assert speak() == ["an order's warning"]


@pytest.mark.parametrize("gid", ["", "a b", "x" * 65, "é", "a\nb"])
def test_a_gid_that_is_none_is_dropped(gid: str) -> None:
    assert continued_trace("", gid).gid == ""
