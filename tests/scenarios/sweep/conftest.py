"""A scenario that takes no time to play, and the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from scenarios.cli import app

SMALL = """
name: small
question: Does anything happen?
load: {mix: {pay: 100}, stages: [{rate: 4, for: 1s}]}
phases: {recovery: 2s}
expect: [availability.success >= 50%]
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def paylab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["sweep", *map(str, arguments), "--out", str(tmp_path / "runs")])

    return run
