"""A cell of the crash-point matrix among real processes: the gateway really dies there, and no payment breaks."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from scenarios import history as histories
from scenarios.matrix import playing
from scenarios.matrix.cells import cells
from scenarios.matrix.judging import CellOutcome
from scenarios.matrix.passes import Pace, passes
from scenarios.worlds.base import SilentProgress

BRIEF = Pace(rate_per_s=6, armed_s=6.0, settle_s=1.0, recovery_s=5)
CELL = ("gateway", "coordinator.decided.persist.after", "quick")


def test_a_process_dies_at_its_crash_point_and_the_cell_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenarios.matrix.passes.WARMUP_S", 0.5)
    monkeypatch.setattr("scenarios.matrix.passes.BASELINE_S", 0.5)
    (wanted,) = passes(cells(*CELL), BRIEF)
    matrix = playing.play("processes", [wanted], 1, tmp_path, lambda *_: nullcontext(SilentProgress()), lambda *_: None)
    (result,) = matrix.results
    # A machine that is busy with other tests may keep the clients late: then the load is not honest, and that is said.
    assert result.outcome in (CellOutcome.PASS, CellOutcome.INVALID), result
    events = histories.read(tmp_path / wanted.name)["services"]
    assert list(events["replica"][events["event"] == "died"]) == ["gateway-0"]
