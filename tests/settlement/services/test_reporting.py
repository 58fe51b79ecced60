"""Reports: what a day's events say, in files that are whole, in a folder or on S3, whenever the storage is there."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from settlement.services.reporting import storage
from settlement.services.reporting.rendering import as_csv, as_json
from settlement.services.reporting.service import CLAIM_MS
from tests.mariadb_server import both_backends

from ..money import ALICE

QUICK = {"reporting.retry_ms": 20}


def today(cluster: Any) -> str:
    return datetime.fromtimestamp(cluster.clock.now_ms() / 1_000, UTC).date().isoformat()


def event(cluster: Any, type_: str, data: dict[str, Any]) -> dict[str, Any]:
    head = {"event_id": str(uuid.uuid4()), "type": type_, "subject": "s"}
    return {**head, "data": data, "occurred_at_ms": cluster.clock.now_ms()}


def decided(cluster: Any, gid: str, type_: str = "payment.succeeded", **changes: Any) -> dict[str, Any]:
    data = {"gid": gid, "order_no": f"o-{gid}", "user_id": ALICE, "amount_minor": 500, "currency": "CNY"}
    return event(cluster, type_, {**data, "method": "card", "decided_at_ms": cluster.clock.now_ms(), **changes})


def settled(cluster: Any, merchant: Any) -> dict[str, Any]:
    data = {"batch_id": f"{today(cluster)}.CNY.{merchant}", "merchant_id": merchant, "day": today(cluster)}
    amounts = {"gross_minor": 1_000, "refunded_minor": 100, "fee_minor": 10, "net_minor": 890}
    return event(cluster, "clearing.settled", {**data, **amounts, "currency": "CNY"})


async def deliver(cluster: Any, *events: dict[str, Any]) -> None:
    reply = await cluster.call("reporting", "POST", "/events", json={"events": list(events)}, timeout_ms=15_000)
    assert set(reply.json["accepted"]) == {sent["event_id"] for sent in events}, reply.json


async def get(cluster: Any, path: str) -> Any:
    return await cluster.http("reporting").get(path, headers=cluster.as_operator())


async def ask(cluster: Any, kind: str, day: str | None = None) -> int:
    body = {"day": day or today(cluster), "kind": kind}
    reply = await cluster.http("reporting").post("/reports", json=body, headers=cluster.as_operator())
    assert reply.status_code == 202, reply.text
    return int(reply.json()["report_id"])


async def stored(cluster: Any, report_id: int) -> dict[str, Any]:
    async def ready() -> Any:
        report = (await get(cluster, f"/reports/{report_id}")).json()
        return report if report["state"] == "ready" else None

    found: dict[str, Any] = await cluster.eventually(ready, 10)
    return found


async def rows(cluster: Any, report_id: int) -> list[dict[str, str]]:
    reply = await get(cluster, f"/reports/{report_id}/content")
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(reply.text)))


# ---- what reports say -----------------------------------------------------------------------------------------------


@both_backends
async def test_a_day_is_reported_in_both_forms(cluster: Any) -> None:
    await cluster.start("reporting", settings=QUICK)
    other_day_ms = cluster.clock.now_ms() - 2 * 86_400_000
    paid = decided(cluster, "p2")
    await deliver(
        cluster, paid, decided(cluster, "p1", "payment.failed", reason="declined"),
        decided(cluster, "r1", "refund.succeeded", payment_gid="p2"),
        decided(cluster, "old", decided_at_ms=other_day_ms), settled(cluster, 7),
    )  # fmt: skip
    await deliver(cluster, paid, decided(cluster, "p2"))
    report = await stored(cluster, await ask(cluster, "transactions"))
    shown = [(row["gid"], row["kind"], row["status"], row["payment_gid"], row["reason"], row["amount_minor"])
             for row in await rows(cluster, report["report_id"])]  # fmt: skip
    assert shown == [
        ("p1", "payment", "failed", "p1", "declined", "500"),
        ("p2", "payment", "succeeded", "p2", "", "500"),
        ("r1", "refund", "succeeded", "p2", "", "500"),
    ]
    document = (await get(cluster, f"/reports/{report['report_id']}/content?format=json")).json()
    assert (document["kind"], document["day"], report["rows"]) == ("transactions", today(cluster), 3)
    assert [row["gid"] for row in document["rows"]] == ["p1", "p2", "r1"]
    assert document["rows"][1]["amount_minor"] == 500

    clearing = await stored(cluster, await ask(cluster, "clearing"))
    assert [(row["merchant_id"], row["net_minor"]) for row in await rows(cluster, clearing["report_id"])] == [
        ("7", "890")
    ]
    summary = await stored(cluster, await ask(cluster, "summary"))
    assert {
        (row["kind"], row["status"]): (row["transactions"], row["amount_minor"])
        for row in await rows(cluster, summary["report_id"])
    } == {("payment", "failed"): ("1", "500"), ("payment", "succeeded"): ("1", "500"),
          ("refund", "succeeded"): ("1", "500")}  # fmt: skip


async def test_a_report_says_what_it_said_when_it_was_made(cluster: Any) -> None:
    await cluster.start("reporting", settings=QUICK)
    await deliver(cluster, decided(cluster, "p1"))
    first = await stored(cluster, await ask(cluster, "transactions"))
    await deliver(cluster, decided(cluster, "p2"))
    second = await stored(cluster, await ask(cluster, "transactions"))
    assert [len(await rows(cluster, item["report_id"])) for item in (first, second)] == [1, 2]
    listed = (await get(cluster, f"/reports?day={today(cluster)}&kind=transactions")).json()["reports"]
    assert [item["report_id"] for item in listed] == [second["report_id"], first["report_id"]]


@both_backends
async def test_yesterdays_reports_are_made_by_themselves_once(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from settlement.services.reporting import api

    monkeypatch.setattr(api, "DAILY_INTERVAL_MS", 10)
    for number in range(2):
        await cluster.start("reporting", f"reporting-{number}", settings=QUICK)
    day = today(cluster)
    await deliver(cluster, decided(cluster, "p1"))
    cluster.clock.advance_ms(86_400_000 + 600_001)

    async def made() -> Any:
        found = (await get(cluster, f"/reports?day={day}")).json()["reports"]
        return found if found and all(report["state"] == "ready" for report in found) and len(found) >= 3 else None

    assert sorted(report["kind"] for report in await cluster.eventually(made)) == [
        "clearing", "summary", "transactions",
    ]  # fmt: skip


async def test_nonsense_is_refused(cluster: Any) -> None:
    await cluster.start("reporting")
    http, headers = cluster.http("reporting"), cluster.as_operator()
    reply = await http.post("/reports", json={"day": "2026-02-30", "kind": "gossip", "x": 1}, headers=headers)
    assert {error["where"] for error in reply.json()["errors"]} == {"body.day", "body.kind", "body.x"}
    assert (await get(cluster, "/reports/99")).json()["code"] == "report_not_found"
    assert (await get(cluster, "/reports/99/content")).json()["code"] == "report_not_found"


# ---- where they are kept --------------------------------------------------------------------------------------------


async def test_files_are_whole_or_not_there_and_damage_is_noticed(cluster: Any, tmp_path: Path) -> None:
    await cluster.start("reporting", settings=QUICK)
    await deliver(cluster, decided(cluster, "p1"))
    report = await stored(cluster, await ask(cluster, "transactions"))
    files = [path for path in (tmp_path / "reports").rglob("*") if path.is_file()]
    files.sort(key=lambda path: path.suffix)
    assert [path.suffix for path in files] == [".csv", ".json"]
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in files} == {
        file["sha256"] for file in report["files"]
    }
    files[0].write_bytes(files[0].read_bytes() + b"x")
    files[1].unlink()
    path = f"/reports/{report['report_id']}/content"
    damaged, gone = await get(cluster, path), await get(cluster, f"{path}?format=json")
    assert (damaged.status_code, damaged.json()["code"]) == (502, "content_damaged")
    assert (gone.status_code, gone.json()["code"]) == (410, "content_gone")


async def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = (tmp_path / "a" / "b.csv").as_uri()
    storage.write(url, b"first")

    def refuse(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", refuse)
    with pytest.raises(storage.StorageFailed, match="No space left"):
        storage.write(url, b"second")
    assert storage.read(url) == b"first"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.csv"]


@pytest.mark.parametrize("url", ["http://x/y", "file://host/y", "reports", "s3:///x", "memory://x"])
def test_other_storages_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(storage.StorageFailed, match="not at"):
        storage.base_url(url, tmp_path)


async def test_with_the_storage_down_a_report_waits_and_nothing_else_does(cluster: Any, tmp_path: Path) -> None:
    blocked = tmp_path / "reports"
    blocked.write_text("a file where the folder should be")
    await cluster.start("reporting", settings=QUICK)
    await deliver(cluster, decided(cluster, "p1"))
    report_id = await ask(cluster, "transactions")

    async def tried_again() -> Any:
        report = (await get(cluster, f"/reports/{report_id}")).json()
        return report if report["attempts"] >= 2 else None

    waiting = await cluster.eventually(tried_again)
    assert (waiting["state"], waiting["files"]) == ("pending", [])
    assert waiting["problem"]
    refused = await get(cluster, f"/reports/{report_id}/content")
    assert (refused.status_code, refused.json()["code"]) == (409, "report_pending")
    metrics = (await cluster.http("reporting").get("/metrics")).text
    assert "paylab_reporting_reports_pending 1.0" in metrics
    await deliver(cluster, decided(cluster, "p2"))
    blocked.unlink()
    await stored(cluster, report_id)
    assert len(await rows(cluster, report_id)) == 2


async def test_a_report_goes_on_where_a_dead_replica_left_it(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await cluster.start("reporting", settings=QUICK)
    await deliver(cluster, decided(cluster, "p1"))
    begun, release = threading.Event(), threading.Event()

    def hang(_url: str, _content: bytes) -> None:
        begun.set()
        release.wait(10)

    with monkeypatch.context() as hanging:
        hanging.setattr(storage, "write", hang)
        report_id = await ask(cluster, "transactions")
        await cluster.eventually(begun.is_set)
        assert (await get(cluster, "/health/ready")).status_code == 200  # the event loop is free
        await cluster.kill("reporting-0")
        release.set()
    await cluster.start("reporting", settings=QUICK)
    cluster.clock.advance_ms(CLAIM_MS)
    await stored(cluster, report_id)
    assert len(await rows(cluster, report_id)) == 1


# ---- S3 -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """As in a container: what is secret comes in files, and what nobody has set is empty."""
    monkeypatch.setenv("PAYLAB_S3_ENDPOINT", s3_server)
    for name, value in {"KEY": "key-for-tests", "SECRET": "secret-for-tests"}.items():
        (tmp_path / name).write_text(f"{value}\n")
        monkeypatch.setenv(f"PAYLAB_S3_{name}_FILE", str(tmp_path / name))
        monkeypatch.setenv(f"PAYLAB_S3_{name}", "")
    client = boto3.client(
        "s3", endpoint_url=s3_server, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
    )
    name = f"reports-{uuid.uuid4().hex[:8]}"
    return client, name


async def test_reports_are_kept_on_s3_and_wait_until_the_bucket_is_there(cluster: Any, bucket: Any) -> None:
    client, name = bucket
    await cluster.start("reporting", settings={**QUICK, "reporting.storage_url": f"s3://{name}/daily"})
    await deliver(cluster, decided(cluster, "p1"))
    report_id = await ask(cluster, "transactions")

    async def failed() -> Any:
        report = (await get(cluster, f"/reports/{report_id}")).json()
        return report if report["problem"] else None

    waiting = await cluster.eventually(failed, 10)
    assert waiting["state"] == "pending"
    assert "secret-for-tests" not in waiting["problem"]
    client.create_bucket(Bucket=name)
    report = await stored(cluster, report_id)
    assert len(await rows(cluster, report_id)) == 1
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=name)["Contents"]]
    assert len(keys) == 2
    assert all(key.startswith(f"daily/{today(cluster)}/transactions-{report_id}-") for key in keys)
    for key in keys:
        client.put_object(Bucket=name, Key=key, Body=b"somebody else's")
    damaged = await get(cluster, f"/reports/{report_id}/content")
    assert damaged.json()["code"] == "content_damaged"
    for key in keys:
        client.delete_object(Bucket=name, Key=key)
    gone = await get(cluster, f"/reports/{report['report_id']}/content")
    assert gone.json()["code"] == "content_gone"


async def test_an_s3_that_is_gone_is_503_and_other_reports_go_on(
    cluster: Any, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, name = bucket
    client.create_bucket(Bucket=name)
    await cluster.start("reporting", settings={**QUICK, "reporting.storage_url": f"s3://{name}"})
    await deliver(cluster, decided(cluster, "p1"))
    report_id = await ask(cluster, "summary")
    await stored(cluster, report_id)
    monkeypatch.setenv("PAYLAB_S3_ENDPOINT", "http://127.0.0.1:9")
    unavailable = await get(cluster, f"/reports/{report_id}/content")
    assert (unavailable.status_code, unavailable.json()["code"]) == (503, "storage_unavailable")
    assert (await get(cluster, "/health/ready")).status_code == 200
    await deliver(cluster, decided(cluster, "p2"))


# ---- rendering, pure ------------------------------------------------------------------------------------------------

cells = st.one_of(
    st.none(), st.integers(), st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
)


@given(table=st.lists(st.fixed_dictionaries({"a": cells, "b": cells}), max_size=5))
def test_a_csv_can_be_read_back_and_holds_no_formula(table: list[dict[str, Any]]) -> None:
    read = list(csv.reader(io.StringIO(as_csv(["a", "b"], table).decode(), newline="")))
    assert read[0] == ["a", "b"]
    assert len(read) == len(table) + 1
    for row, shown in zip(table, read[1:], strict=True):
        for value, cell in zip((row["a"], row["b"]), shown, strict=True):
            assert cell.removeprefix("'") == ("" if value is None else str(value)).removeprefix("'")
            assert not isinstance(value, str) or not cell.startswith(("=", "+", "-", "@"))


def test_the_same_rows_are_the_same_bytes() -> None:
    table = [{"gid": "p1", "amount_minor": 5}]
    assert as_json("summary", "2026-01-01", table) == as_json("summary", "2026-01-01", list(table))
    assert json.loads(as_json("summary", "2026-01-01", table))["rows"] == table
