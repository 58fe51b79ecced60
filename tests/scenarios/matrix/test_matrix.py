"""A matrix, simulated: the shipped protocol passes, a wrong one does not, and a step that nobody passed is told."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scenarios.cli import app
from scenarios.matrix import playing
from scenarios.matrix.cells import cells
from scenarios.matrix.judging import CellOutcome, CellResult
from scenarios.matrix.passes import PACES, PROVOCATIONS, passes
from tests.mutants.registry import mutated

DECIDED = ("gateway", "coordinator.decided.persist.*", "quick")


def played(folder: Path, *patterns: str) -> list[playing.CellResult]:
    """In this process, so that what is patched here is played."""
    (only,) = passes(cells(*patterns), PACES["simulated"])
    return playing.simulate(only, 1, folder)[1]


def test_the_shipped_protocol_passes_and_blocks_until_the_coordinator_is_back(tmp_path):
    before, after = played(tmp_path, *DECIDED)
    assert (before.outcome, after.outcome) == (CellOutcome.PASS, CellOutcome.PASS)
    assert after.in_doubt_s > 0.5, "who promised waits at least as long as the coordinator is dead"
    assert after.recovery_s >= after.in_doubt_s - 0.5


def test_a_protocol_that_tells_before_it_remembers_fails_in_the_cell_that_shows_it(tmp_path):
    with mutated("decision_before_durable"):
        before, _ = played(tmp_path, *DECIDED)
    assert before.outcome is CellOutcome.FAIL
    assert any(problem.startswith("AC1 agreement: gid ") for problem in before.problems)


def test_a_step_that_nobody_passed_is_a_gap(tmp_path, monkeypatch):
    monkeypatch.setattr("scenarios.matrix.passes.PROVOCATIONS", [])
    results = played(tmp_path, "gateway", "coordinator.fenced.*", "quick")
    assert [result.outcome for result in results] == [CellOutcome.UNREACHED] * 2
    assert playing.Matrix("simulated", 1, results).verdict is CellOutcome.UNREACHED
    assert PROVOCATIONS


def test_what_nobody_came_by_among_real_processes_is_played_again_with_other_luck(tmp_path, monkeypatch):
    wanted = passes(cells("gateway", "coordinator.decided.*", "quick"), PACES["processes"])
    shy = {cell: rounds for rounds, cell in enumerate(cells("gateway", "coordinator.decided.reply.*", "quick"), 2)}
    seen = []

    def fake(_world, again, seed, _folder, _progress_of):
        for each in again:
            seen.append((each.name, seed, len(each.windows)))
            yield (
                each,
                [
                    CellResult(cell, CellOutcome.PASS if seed >= shy.get(cell, 1) else CellOutcome.UNREACHED, each.name)
                    for cell in (window.cell for window in each.windows)
                ],
            )

    monkeypatch.setattr(playing, "_real", fake)
    matrix = playing.play("processes", wanted, 1, tmp_path, None, lambda *_: None)
    name = wanted[0].name
    assert seen == [(name, 1, len(matrix.results)), (f"{name}-again-1", 2, 2), (f"{name}-again-2", 3, 1)]
    assert matrix.verdict is CellOutcome.PASS
    assert [result.cell for result in matrix.results] == [window.cell for window in wanted[0].windows]
    shy[cells("gateway", "coordinator.decided.send.before", "quick")[0]] = 99
    assert playing.play("processes", wanted, 1, tmp_path, None, lambda *_: None).verdict is CellOutcome.UNREACHED


def test_the_command_plays_reports_and_keeps(tmp_path):
    service, point, returns = DECIDED
    choice = ["--service", service, "--point", point, "--returns", returns]
    result = CliRunner().invoke(app, ["matrix", *choice, "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    (folder,) = tmp_path.iterdir()
    assert document == json.loads((folder / "matrix.json").read_text())
    assert document["verdict"] == "pass"
    assert [cell["point"] for cell in document["cells"]] == [
        f"coordinator.decided.persist.{side}" for side in ("before", "after")
    ]
    page = (folder / "report.html").read_text()
    assert "coordinator.decided.persist.after" in page
    assert "order dies" not in page, "what was not played is not shown"


@pytest.mark.parametrize(
    ("choice", "said"),
    [(["--point", "coordinator.dream.*"], "no cell"), (["--world", "real"], "unknown world 'real'")],
)
def test_a_choice_of_nothing_is_bad_input(choice, said, tmp_path):
    result = CliRunner().invoke(app, ["matrix", *choice, "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert said in result.stderr
    assert not list(tmp_path.iterdir())
