"""From the services' span files to the table `spans` of the history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def span_rows(folder: Path, start_ms: int) -> list[Row]:
    """Every span in the files of `folder`, in order of time; a line that a killed process left torn is left out."""
    rows = [_row(span, start_ms) for path in sorted(folder.glob("*.jsonl")) for span in _spans(path)]
    return sorted(rows, key=lambda row: (row["started_s"], row["span_id"]))


def _spans(path: Path) -> Iterator[Row]:
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _row(span: Row, start_ms: int) -> Row:
    about = span["attributes"]
    return {
        "trace_id": span["trace_id"], "span_id": span["span_id"], "parent_id": span["parent_id"],
        "name": span["name"], "kind": span["kind"], "service": span["service"], "replica": span["replica"],
        "gid": about.get("paylab.gid", ""), "started_s": _seconds(span["start_ns"], start_ms),
        "ended_s": _seconds(span["end_ns"], start_ms), "failed": span["failed"],
        "attributes": json.dumps(about, sort_keys=True),
    }  # fmt: skip


def _seconds(at_ns: int, start_ms: int) -> float:
    return (at_ns - start_ms * 1_000_000) / 1e9
