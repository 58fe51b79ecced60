"""Whatever a client sends: a 4xx problem document with the replica's name, never a 500, never anything executed."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn

from settlement.chassis import envelope

JSON = {"content-type": "application/json"}


@pytest.fixture
async def http(cluster: Any, probe: Any) -> httpx.AsyncClient:
    await cluster.start("probe", settings={"http.body_bytes_max": 1_000})
    client: httpx.AsyncClient = cluster.http("probe")
    return client


async def test_every_answer_names_its_replica_and_its_trace(http: httpx.AsyncClient) -> None:
    trace_id = "ab" * 16
    reply = await http.get("/nowhere", headers={"traceparent": f"00-{trace_id}-{'cd' * 8}-01"})
    assert reply.headers["paylab-replica"] == "probe-0"
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json() == {
        "type": "about:blank",
        "status": 404,
        "title": "Not Found",
        "code": "not_found",
        "trace_id": trace_id,
    }


@pytest.mark.parametrize("traceparent", ["", "x", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "00-ABC-1-01"])
async def test_a_damaged_trace_starts_a_new_one(http: httpx.AsyncClient, traceparent: str) -> None:
    trace_id = (await http.get("/nowhere", headers={"traceparent": traceparent})).json()["trace_id"]
    assert len(trace_id) == 32
    assert trace_id != "0" * 32


async def test_the_wrong_method_is_405(http: httpx.AsyncClient) -> None:
    reply = await http.delete("/notes")
    assert (reply.status_code, reply.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"text":', 400, "malformed_json"),
        (b'{"text":"a","number":NaN}', 400, "malformed_json"),
        (b'{"text":"a","number":99999999999999999999}', 400, "number_out_of_range"),
        (b'{"text":"\\u0000"}', 400, "text_not_allowed"),
        (b"[" * 900, 400, "json_too_deep"),
        (b'{"text":"' + b"a" * 1_000 + b'"}', 413, "body_too_large"),
    ],
)
async def test_a_body_that_is_not_taken(http: httpx.AsyncClient, body: bytes, status: int, code: str) -> None:
    reply = await http.post("/notes", content=body, headers=JSON)
    assert (reply.status_code, reply.json()["code"]) == (status, code)


async def test_a_long_body_is_refused_while_it_comes_even_if_its_length_was_not_announced(
    http: httpx.AsyncClient,
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"a" * 100

    reply = await asyncio.wait_for(http.post("/notes", content=endless(), headers=JSON), 5)
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")
    assert sent < 20


@pytest.fixture
async def port(cluster: Any, http: httpx.AsyncClient) -> AsyncIterator[int]:
    """The probe behind a real server, where it listens."""
    bound = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(cluster.replica("probe-0").app, lifespan="off", log_config=None))
    serving = asyncio.create_task(server._serve([bound]))
    await cluster.eventually(lambda: server.started)
    yield bound.getsockname()[1]
    server.should_exit = True
    await serving


@pytest.mark.parametrize(
    "unfinished",
    [b"content-length: 100\r\n\r\n{", b"content-length: 100\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"],
)
async def test_a_body_that_does_not_end_is_not_waited_for_for_ever(
    port: int, unfinished: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelope, "BODY_S_MAX", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /notes HTTP/1.1\r\nhost: probe\r\n" + unfinished)
    head, _, body = (await asyncio.wait_for(reader.read(-1), 5)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nconnection: close" in head.lower()
    assert json.loads(body)["code"] == "request_timeout"
    writer.close()


async def test_all_wrong_fields_are_listed_and_not_echoed(cluster: Any, http: httpx.AsyncClient) -> None:
    reply = await cluster.call("probe", "POST", "/notes", json={"text": 5, "number": "hunter2"})
    assert reply.status == 422
    assert [error["where"] for error in reply.json["errors"]] == ["body.text", "body.number"]
    assert "hunter2" not in str(reply.json)


@pytest.mark.parametrize("path", ["/notes/" + "9" * 30, "/notes/-" + "9" * 30, "/notes/x", "/notes/1e3"])
async def test_a_number_in_the_path_that_no_column_holds(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 422


@pytest.mark.parametrize("path", ["/notes/%00", "/notes/1?x=%00"])
async def test_a_nul_in_the_address(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 400


async def test_a_bug_is_a_500_that_tells_nothing_but_the_trace(http: httpx.AsyncClient) -> None:
    reply = await http.get("/bug")
    assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
    assert len(reply.json()["trace_id"]) == 32
    assert "secret detail" not in reply.text


async def test_metrics_count_by_route_and_not_by_address(http: httpx.AsyncClient) -> None:
    for number in range(5):
        await http.get(f"/notes/{number}")
    await http.get("/bug")
    await http.get("/no/such/address")
    text = (await http.get("/metrics")).text
    assert 'paylab_http_requests_total{method="GET",route="/notes/{number}",status="200"} 5.0' in text
    assert 'paylab_http_requests_total{method="GET",route="/bug",status="500"} 1.0' in text
    assert 'paylab_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'paylab_http_request_duration_seconds_count{method="GET",route="/notes/{number}"} 5.0' in text


async def test_a_replica_that_is_stopping_is_alive_and_not_ready(cluster: Any, http: httpx.AsyncClient) -> None:
    assert (await http.get("/health/ready")).status_code == 200
    cluster.replica("probe-0").chassis.stopping.set()
    assert (await http.get("/health/ready")).status_code == 503
    assert (await http.get("/health/live")).status_code == 200
