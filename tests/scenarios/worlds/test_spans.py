"""Span files become the table `spans`."""

from __future__ import annotations

import json
from pathlib import Path

from scenarios.history import SCHEMAS, frame
from scenarios.worlds.spans import span_rows

SPAN = {
    "trace_id": "ab" * 16, "span_id": "cd" * 8, "parent_id": "", "name": "POST /payments", "kind": "server",
    "service": "gateway", "replica": "gateway-0", "start_ns": 10_500_000_000, "end_ns": 10_750_000_000,
    "failed": False, "attributes": {"paylab.gid": "p-1", "http.response.status_code": 201}, "events": [], "links": [],
}  # fmt: skip


def test_times_count_from_the_start_of_the_run_and_torn_lines_are_left_out(tmp_path: Path) -> None:
    later = {**SPAN, "span_id": "ef" * 8, "start_ns": 11_000_000_000, "end_ns": 11_000_000_001}
    (tmp_path / "a.jsonl").write_text(json.dumps(later) + "\n" + json.dumps(SPAN)[:50])
    (tmp_path / "b.jsonl").write_text(json.dumps(SPAN) + "\n")
    first, second = span_rows(tmp_path, 10_000)
    assert (first["started_s"], first["ended_s"], first["gid"]) == (0.5, 0.75, "p-1")
    assert second["span_id"] == "ef" * 8
    assert json.loads(first["attributes"]) == SPAN["attributes"]
    assert list(frame("spans", [first, second]).columns) == SCHEMAS["spans"].names


def test_a_run_that_recorded_nothing_has_no_spans(tmp_path: Path) -> None:
    assert span_rows(tmp_path / "missing", 0) == []
