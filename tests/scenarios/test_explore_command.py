"""`paylab explore` as a user meets it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from scenarios import explore_command
from scenarios.cli import app
from simulator.explorer.parts import Bounds
from tests.mutants.registry import mutated

CALM = ("--crashes", "0", "--losses", "0", "--duplicates", "0", "--pauses", "0")
Explore = Callable[..., Result]


@pytest.fixture
def explore(monkeypatch: pytest.MonkeyPatch) -> Explore:
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *arguments: CliRunner().invoke(app, ["explore", *map(str, arguments)])


def test_what_holds_is_said_with_its_figures(explore: Explore) -> None:
    result = explore(*CALM)
    assert result.exit_code == 0
    assert "AC1: all who reach an outcome reach the same one" in result.stdout
    assert "distinct states" in result.stdout
    assert "complete" in result.stdout
    assert "exploring: 2 participants, 2 gateway replicas, 0 crashes" in result.stderr


def test_a_violation_is_told_step_by_step_and_fails(explore: Explore) -> None:
    with mutated("unilateral_abort"):
        result = explore(*CALM)
    assert result.exit_code == 1
    assert "shortest counterexample to agreement" in result.stdout
    assert "1. gateway-0: begins; durable: preparing" in result.stdout


def test_a_limit_leaves_no_verdict(explore: Explore) -> None:
    result = explore("--states-max", 100)
    assert result.exit_code == 3
    assert "the limit of states was reached" in " ".join(result.stdout.split())


def test_bad_input_is_refused(explore: Explore) -> None:
    assert explore("--participants", 0).exit_code == 2
    refused = explore("--protocol", "article", "--asked-last", "--exhaustions", 1)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "asked_last: the article's last participant charges anyway" in refused.stderr
    assert "exhaustions: the article repeats nothing" in refused.stderr


def test_json_stands_alone_on_stdout(explore: Explore) -> None:
    with mutated("presume_commit"):
        result = explore("--crashes", 1, "--losses", 0, "--duplicates", 0, "--pauses", 0, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["verdict"], found["complete"]) == (1, "violated", False)
    (broken,) = [each for each in found["properties"] if each["verdict"] == "violated"]
    assert broken["name"] == "validity"
    assert len(broken["steps"]) == 3
    assert found["bounds"]["crashes"] == 1


def test_the_article_loses_money_and_the_report_says_whose(explore: Explore, tmp_path: Path) -> None:
    result = explore("--protocol", "article", *CALM, "--delays", 1, "--keep-going", "--out", tmp_path)
    assert result.exit_code == 1
    assert "exploring: article, 2 participants" in result.stderr
    assert "shortest counterexample to agreement" in result.stdout
    assert "shortest counterexample to stability" in result.stdout
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for told in (result.stdout, page):
        assert "who lost what: the client has paid and is told that it failed and gets no goods" in told
    assert "--delays 1 --protocol article --keep-going" in page
    found = json.loads((tmp_path / "exploration.json").read_text(encoding="utf-8"))
    (agreement,) = [each for each in found["properties"] if each["name"] == "agreement"]
    assert (found["complete"], len(agreement["steps"]), len(agreement["ending"])) == (True, 7, 2)


def test_the_article_holds_while_nothing_goes_wrong(explore: Explore) -> None:
    assert explore("--protocol", "article", *CALM, "--delays", 0).exit_code == 0


def test_operators_are_explored(explore: Explore) -> None:
    result = explore(*CALM, "--participants", 1, "--exhaustions", 1, "--operators", 1)
    assert result.exit_code == 0
    assert "heuristic_on_record" in result.stdout
    assert "1 exhaustion, 1 heuristic order" in result.stderr


def test_the_report_shows_the_counterexample(explore: Explore, tmp_path: Path) -> None:
    with mutated("unilateral_abort"):
        result = explore(*CALM, "--out", tmp_path / "deep" / "out")
    folder = tmp_path / "deep" / "out"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert f"report: {folder / 'report.html'}" in result.stderr
    assert "Shortest counterexample to agreement" in page
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "paylab explore --crashes 0 --losses 0" in page
    assert {each.name for each in folder.iterdir()} == {
        "report.html",
        "exploration.json",
        "counterexample-agreement.svg",
        "counterexample-agreement.mmd",
    }


def test_the_command_of_a_report_explores_the_same_bounds() -> None:
    bounds = Bounds(participants=3, crashes=1, refusals=False, asked_last=True)
    assert explore_command.command(bounds) == "paylab explore --participants 3 --crashes 1 --no-refusals --asked-last"
