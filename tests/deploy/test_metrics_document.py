"""docs/metrics.md lists exactly what the services expose. `PAYLAB_WRITE_DOCS=1 pytest tests/deploy` writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

from settlement.topology import SERVICES

from .exposed import Exposed

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"


def _table(exposed: dict[Exposed, tuple[str, ...]]) -> str:
    rows = ["| metric | type | labels | meaning | exposed by |", "|---|---|---|---|---|"]
    for metric, services in exposed.items():
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
        who = "all" if len(services) == len(SERVICES) else ", ".join(services)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} | {who} |")
    return "\n".join(rows) + "\n"


def test_the_document_lists_what_the_services_expose(exposed: dict[Exposed, tuple[str, ...]]) -> None:
    text = DOCUMENT.read_text()
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    if os.environ.get("PAYLAB_WRITE_DOCS"):
        DOCUMENT.write_text(before + _table(exposed) + after)
    assert DOCUMENT.read_text() == before + _table(exposed) + after


def test_names_follow_the_conventions(exposed: dict[Exposed, tuple[str, ...]]) -> None:
    for metric in exposed:
        assert metric.name.startswith(("paylab_", "process_")), metric
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric
        assert not metric.name.endswith(("_ms", "_count", "_sum", "_bucket")), metric
        assert metric.help, metric
