"""`paylab capacity autoscale` and `paylab capacity metastability` as they are typed."""

import json
from pathlib import Path

from typer.testing import CliRunner

from scenarios.cli import app

AUTOSCALE = ["capacity", "autoscale", "--profile", "20:1min,60:2min", "--workers", "1"]
MAP = ["capacity", "metastability", "--runs", "1", "--watched", "40s", "--outage", "4s", "--workers", "1"]


def test_autoscaling(tmp_path: Path):
    options = ["--targets", "0.5,80%", "--stabilisation", "0s,60s", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, [*AUTOSCALE, *options])
    assert result.exit_code == 0, result.output
    (folder,) = tmp_path.iterdir()
    document = json.loads((folder / "autoscale.json").read_text())
    assert len(document["tunings"]) == 4
    assert document["best"] in document["tunings"]
    assert document["payments"] == 20 * 60 + 60 * 120
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "#0000" not in page
    assert "replica" in result.stdout


def test_no_tuning_is_quick_enough(tmp_path: Path):
    options = ["--targets", "0.5", "--stabilisation", "0s", "--p99", "1ms", "--json", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, [*AUTOSCALE, *options])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["best"] is None


def test_a_map(tmp_path: Path):
    options = ["--loads", "0.4,0.7", "--budgets", "0", "--set", "http.retry_budget_share=1", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, [*MAP, *options])
    assert result.exit_code == 0, result.output
    (folder,) = tmp_path.iterdir()
    document = json.loads((folder / "metastability.json").read_text())
    assert [cell["recovered"] for cell in document["cells"]] == [1, 1, 1, 0]
    assert (document["budgets"], document["budget_in_force"]) == ([0, 1], 1)
    assert "1*" in result.stdout
    assert "stays down" in result.stdout
    assert (folder / "report.html").read_text().count("<svg") == 2


def test_bad_input_names_every_problem():
    result = CliRunner().invoke(app, [*AUTOSCALE, "--targets", "2,x", "--rate", "-1", "--startup", "soon"])
    assert result.exit_code == 2
    for option in ("--targets: ", "--rate: ", "--startup: "):
        assert option in result.stderr
    result = CliRunner().invoke(app, [*MAP, "--budgets", "2", "--loads", "0", "--set", "http.retry_budget_share=x"])
    assert result.exit_code == 2
    assert "--budgets: " in result.stderr
    assert "--loads: " in result.stderr
    assert "--set: http.retry_budget_share" in result.stderr
