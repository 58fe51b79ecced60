"""`paylab mutants` as a user meets it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import scenarios
from scenarios.cli import app
from tests.mutants.patching import Mutant
from tests.mutants.registry import MUTANTS

Mutants = Callable[..., Result]


@pytest.fixture
def mutants(monkeypatch: pytest.MonkeyPatch) -> Mutants:
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *arguments: CliRunner().invoke(app, ["mutants", *map(str, arguments)])


@pytest.fixture
def harmless(monkeypatch: pytest.MonkeyPatch) -> str:
    """A mutant that changes nothing, so that nothing can kill it."""
    real: Mutant = MUTANTS["late_prepare"]
    monkeypatch.setitem(MUTANTS, "harmless", replace(real, name="harmless", apply=lambda: lambda: None))
    return "harmless"


def test_the_dead_are_shown_with_who_killed_them(mutants: Mutants, tmp_path: Path) -> None:
    result = mutants("--only", "late_prepare", "--workers", 1, "--json", tmp_path / "board.json")
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("late_prepare")]
    assert result.exit_code == 0
    assert "explorer" in line
    assert "59 states" in line
    assert "5 steps" in line
    assert "1 of 1 mutants killed; the shipped code survives" in " ".join(result.stderr.split())
    board = json.loads((tmp_path / "board.json").read_text())
    (mutant,) = board["mutants"]
    assert (board["verdict"], mutant["name"], mutant["killed"]) == ("pass", "late_prepare", True)
    assert len(mutant["attacks"][0]["trace"]) == 5


def test_a_trace_tells_the_shortest_story(mutants: Mutants) -> None:
    result = mutants("--trace", "late_prepare")
    assert "killed by the explorer: stability" in result.stdout
    assert "1. gateway-0: begins; durable: preparing" in result.stdout


def test_one_survivor_fails_it_all(mutants: Mutants, harmless: str) -> None:
    result = mutants("--only", harmless, "--only", "late_prepare", "--workers", 1)
    assert result.exit_code == 1
    assert "SURVIVES" in result.stdout
    assert "1 of 2 mutants killed; survivors: harmless" in " ".join(result.stderr.split())


def test_a_false_alarm_fails_it_too(mutants: Mutants) -> None:
    shipped = MUTANTS["late_prepare"].apply()  # broken behind the scoreboard's back
    try:
        result = mutants("--only", "late_prepare", "--workers", 1)
    finally:
        shipped()
    assert result.exit_code == 1
    assert "against the shipped code: explorer says stability" in " ".join(result.stderr.split())


def test_the_list_says_what_each_is(mutants: Mutants) -> None:
    result = mutants("--list")
    assert result.exit_code == 0
    for name in MUTANTS:
        assert name in result.stdout


@pytest.mark.parametrize("option", ["--list", "--workers=1"])
def test_unknown_names_are_all_listed(mutants: Mutants, option: str) -> None:
    result = mutants(option, "--only", "nobody", "--only", "late_prepare", "--only", "nothing")
    assert result.exit_code == 2
    assert "no such mutants: nobody, nothing" in " ".join(result.stderr.split())
    assert "presume_commit" in result.stderr


def test_an_installation_without_tests_says_so(
    mutants: Mutants, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(scenarios, "__file__", str(tmp_path / "scenarios" / "__init__.py"))
    result = mutants()
    assert result.exit_code == 3
    assert "needs a checkout of paylab" in " ".join(result.stderr.split())
