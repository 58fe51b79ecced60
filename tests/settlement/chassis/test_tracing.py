"""What is recorded as spans, what is not, and where spans go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.trace import bind_gid, current_trace, enter_trace, leave_trace, span
from settlement.chassis.tracing import TraceTargets, Tracing
from settlement.chassis.transport import CallFailed

ALL = {"trace.sample_share": 1.0}
TRACE_ID = "ab" * 16


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


async def _start(cluster: Any, spans: InMemorySpanExporter, share: float = 1.0, **settings: Any) -> Any:
    given = {"trace.sample_share": share, **settings}
    return await cluster.start("probe", settings=given, span_processors=(SimpleSpanProcessor(spans),))


def _ids(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


async def test_a_request_is_recorded_under_its_route(cluster: Any, probe: Any, spans: InMemorySpanExporter) -> None:
    await _start(cluster, spans)
    await cluster.http("probe").get("/notes/7", headers={"traceparent": f"00-{TRACE_ID}-{'cd' * 8}-00"})
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind.name, _ids(span)[0]) == ("GET /notes/{number}", "SERVER", TRACE_ID)
    assert span.parent is not None
    assert span.parent.span_id == int("cd" * 8, 16)
    assert span.attributes is not None
    assert (span.attributes["http.response.status_code"], span.attributes["paylab.gid"]) == (200, "")
    assert dict(span.resource.attributes)["service.instance.id"] == "probe-0"


async def test_nobody_outside_can_ask_for_recording(cluster: Any, probe: Any, spans: InMemorySpanExporter) -> None:
    await _start(cluster, spans, share=0.0)
    await cluster.http("probe").get("/notes/7", headers={"traceparent": f"00-{TRACE_ID}-{'cd' * 8}-01"})
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize("flags", ["00", "01"])
async def test_a_service_follows_its_caller(cluster: Any, probe: Any, spans: InMemorySpanExporter, flags: str) -> None:
    await _start(cluster, spans, share=0.5)
    headers = {"traceparent": f"00-{TRACE_ID}-{'cd' * 8}-{flags}", "paylab-gid": "g-1"}
    await cluster.call("probe", "POST", "/notes", json={"text": "a"}, headers=headers)
    served = [span for span in spans.get_finished_spans() if span.kind.name == "SERVER"]
    assert [(span.attributes or {})["paylab.gid"] for span in served] == ["g-1"] * int(flags)


async def test_the_share_decides_by_the_trace_id(cluster: Any, probe: Any, spans: InMemorySpanExporter) -> None:
    await _start(cluster, spans, share=0.25)
    for low in ("00" * 8, "3f" * 8, "41" * 8, "ff" * 8):
        await cluster.http("probe").get("/notes/7", headers={"traceparent": f"00-{'ab' * 8}{low}-{'cd' * 8}-01"})
    assert [_ids(span)[0][16:] for span in spans.get_finished_spans()] == ["00" * 8, "3f" * 8]


async def test_looking_at_health_and_metrics_is_not_recorded(
    cluster: Any, probe: Any, spans: InMemorySpanExporter
) -> None:
    await _start(cluster, spans)
    for path in ("/health/live", "/health/ready", "/metrics", "/faults"):
        await cluster.http("probe").get(path)
    assert spans.get_finished_spans() == ()


async def test_each_attempt_of_a_call_is_a_span_with_peer_replica_and_outcome(
    cluster: Any, probe: Any, spans: InMemorySpanExporter
) -> None:
    replica = await _start(cluster, spans, **{"http.retry_budget_share": 1.0})
    cluster.network.lose_reply("probe", "/notes")
    token = enter_trace(replica.chassis.tracing.of_request("", "g-1", "POST", "/x", from_service=False))
    await replica.chassis.client.call("probe", "POST", "/notes", json={"text": "a"}, idempotent=True)
    leave_trace(token)
    made = [dict(span.attributes or {}) for span in spans.get_finished_spans() if span.kind.name == "CLIENT"]
    calls = [attributes for attributes in made if "paylab.peer" in attributes]
    assert [(call["paylab.attempt"], call["paylab.outcome"]) for call in calls] == [(1, "unknown"), (2, "2xx")]
    assert {(call["paylab.peer"], call["paylab.peer_replica"], call["paylab.gid"]) for call in calls} == {
        ("probe", "probe-0", "g-1")
    }


async def test_a_call_that_failed_is_marked(cluster: Any, probe: Any, spans: InMemorySpanExporter) -> None:
    replica = await _start(cluster, spans)
    token = enter_trace(replica.chassis.tracing.of_request("", "", "POST", "/x", from_service=False))
    with pytest.raises(CallFailed):
        await replica.chassis.client.call("nobody", "GET", "/", timeout_ms=20)
    leave_trace(token)
    call = next(span for span in spans.get_finished_spans() if span.kind.name == "CLIENT")
    assert (call.status.is_ok, (call.attributes or {})["error.type"]) == (False, "NotSent")


def test_without_recording_no_span_is_made_and_the_trace_goes_on() -> None:
    tracing = Tracing("probe", "probe-0", LiveSettings(ALL))
    trace = tracing.of_request(f"00-{TRACE_ID}-{'cd' * 8}-01", "", "GET", "/x", from_service=True)
    token = enter_trace(trace)
    with span("inside"):
        inside = current_trace()
    leave_trace(token)
    assert inside is trace
    assert trace.span is None
    assert (trace.traceparent()[:35], trace.traceparent()[-2:]) == (f"00-{TRACE_ID}", "01")


def test_a_gid_that_becomes_known_is_on_the_span_already_begun(spans: InMemorySpanExporter) -> None:
    tracing = Tracing("probe", "probe-0", LiveSettings(ALL), [SimpleSpanProcessor(spans)])
    trace = tracing.of_request("", "", "POST", "/payments", from_service=False)
    token = enter_trace(trace)
    bind_gid("g-9")
    with span("inside"):
        pass
    leave_trace(token)
    tracing.finish(trace, "POST", "/payments", 201)
    assert [(span.name, (span.attributes or {})["paylab.gid"]) for span in spans.get_finished_spans()] == [
        ("inside", "g-9"), ("POST /payments", "g-9"),
    ]  # fmt: skip


def test_the_file_has_one_line_a_span(tmp_path: Path) -> None:
    file = tmp_path / "spans" / "probe-0.jsonl"
    (processor,) = TraceTargets(file=file).processors()
    tracing = Tracing("probe", "probe-0", LiveSettings(ALL), [processor])
    trace = tracing.of_request(f"00-{TRACE_ID}-{'cd' * 8}-00", "g-1", "POST", "/payments", from_service=False)
    with pytest.raises(ValueError, match="broken"):
        _broken(trace)
    tracing.finish(trace, "POST", "/payments", 500)
    processor.shutdown()
    inner, outer = (json.loads(line) for line in file.read_text().splitlines())
    assert (inner["trace_id"], inner["parent_id"], inner["failed"]) == (TRACE_ID, outer["span_id"], True)
    assert (outer["parent_id"], outer["service"], outer["replica"]) == ("cd" * 8, "probe", "probe-0")
    assert outer["start_ns"] <= inner["start_ns"] <= inner["end_ns"] <= outer["end_ns"]
    assert inner["attributes"] == {"paylab.gid": "g-1", "n": 1, "error.type": "ValueError"}


def _broken(trace: Any) -> None:
    token = enter_trace(trace)
    try:
        with span("inside", attributes={"n": 1}):
            raise ValueError("broken")
    finally:
        leave_trace(token)


def test_an_endpoint_that_is_no_address_is_refused() -> None:
    assert TraceTargets("jaeger:4318").problems() == ["PAYLAB_TRACE_ENDPOINT is no http address: jaeger:4318"]
    assert TraceTargets("http://jaeger:4318").problems() == []
