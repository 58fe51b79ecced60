"""The compiled model: it plays what the interpreted one plays, and says what it lacks and when it is out of date."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from scenarios import compiling
from scenarios.cli import app
from scenarios.errors import LabError

from ..children import importing_first

UNOPTIMISED = "0"
SLOW = pytest.mark.timeout(1_200)
"""A compiler that everybody else goes before."""

# What is played: scenarios of the catalogue, one with a database server and connections to it, and random platforms
# with every kind of fault.
_PLAY = """
import json
from dataclasses import replace
from scenarios.fuzz.campaign import play_seeds
from scenarios.history import history_sha256
from scenarios.plan import plan
from scenarios.spec import load_scenario
from scenarios.worlds.base import SilentProgress
from scenarios.worlds.simulated import SimulatedWorld
from simulator import calibration, kernel

shipped = calibration.load()
served = replace(shipped, database_cpu_s=0.0004)
played = {
    f"{name} {label}": history_sha256(
        SimulatedWorld(costs).play(plan(load_scenario(name, changes), 1), None, SilentProgress())
    )
    for label, costs, name, changes in (
        ("", shipped, "coordinator-crash", ()),
        ("with two of each", shipped, "participant-crash", ("platform.replicas={gateway: 2, payment: 2, order: 2}",)),
        ("with a server", served, "baseline", ()),
    )
}
fuzzed = {each.seed: [each.digest, *each.findings] for each in play_seeds(range(1, 41))}
print(json.dumps({"model": kernel.__file__, "histories": [played, fuzzed]}))
"""


def _silent(done: int, of: int) -> None:
    assert 0 <= done <= of


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (missing := compiling.needed()) and os.environ.get("CI") != "true":
        pytest.skip(f"not there: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("compiled") / "model"
    compiling.compile_model(folder, _silent, UNOPTIMISED)
    return folder


def _child(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": importing_first(folder), "COLUMNS": "200"}
    return subprocess.run([sys.executable, "-P", *arguments], env=environment, capture_output=True, text=True)


def _played(folder: Path) -> Any:
    child = _child(folder, "-c", _PLAY)
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@SLOW
def test_equal_inputs_give_equal_histories_byte_for_byte(compiled: Path) -> None:
    machine, plain = _played(compiled), _played(compiling.SOURCE.parent)
    assert Path(machine["model"]).is_relative_to(compiled)
    assert not machine["model"].endswith(".py")
    assert Path(plain["model"]).is_relative_to(compiling.SOURCE)
    assert machine["histories"] == plain["histories"]
    assert len(set(plain["histories"][0].values())) == 3


@SLOW
def test_a_compiled_model_is_current_until_a_source_changes(compiled: Path, tmp_path: Path) -> None:
    assert compiling.is_current(compiled)
    assert list(compiled.parent.iterdir()) == [compiled], "nothing else is left"
    copy = tmp_path / "copy"
    shutil.copytree(compiled, copy)
    with (copy / "simulator" / "capacity" / "laws.py").open("a") as source:
        source.write("# other\n")
    assert not compiling.is_current(copy)
    assert not compiling.is_current(tmp_path / "nowhere")


@SLOW
def test_what_is_up_to_date_is_not_compiled_again(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "compile_model", lambda *_: pytest.fail("compiled again"))
    result = CliRunner().invoke(app, ["compile", "--out", str(compiled)])
    assert (result.exit_code, result.stderr) == (0, f"{compiled} is up to date\n")


@pytest.fixture
def outdated(tmp_path: Path) -> Path:
    shutil.copytree(compiling.SOURCE, tmp_path / "old" / compiling.PACKAGE)
    (tmp_path / "old" / compiling.PACKAGE / "kernel.py").write_text("", encoding="utf-8")
    return tmp_path / "old"


def test_no_command_plays_a_model_of_other_sources(outdated: Path) -> None:
    child = _child(outdated, "-m", "scenarios.cli", "list")
    assert child.returncode == 3
    assert child.stderr.startswith(
        f"paylab: the model in {outdated / 'simulator'} was compiled from other sources than"
    )
    assert child.stderr.endswith("compile it again (`make compiled`), or take it off PYTHONPATH\n")
    assert not child.stdout


def test_but_it_can_be_compiled_again(outdated: Path) -> None:
    child = _child(outdated, "-m", "scenarios.cli", "compile", "--help")
    assert (child.returncode, child.stderr) == (0, "")


def test_everything_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "/no/such/compiler -O9")
    monkeypatch.setattr(compiling.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(LabError) as raised:
        compiling.compile_model(tmp_path / "out", _silent)
    assert str(raised.value) == (
        "cannot compile the model: there is no C compiler '/no/such/compiler', "
        f"no Python.h of this interpreter (Debian: python3-dev) in {tmp_path}"
    )


@SLOW
def test_a_compiler_that_fails_is_quoted_and_what_was_there_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if missing := [what for what in compiling.needed() if "C compiler" not in what]:
        pytest.skip(f"not there: {', '.join(missing)}")
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho 'no room for it' >&2\nexit 1\n", encoding="utf-8")
    failing.chmod(0o755)
    monkeypatch.setenv("CC", str(failing))
    monkeypatch.setattr(compiling, "COMPILED", ("resources",))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").touch()
    with pytest.raises(LabError, match=r"(?s)could not be compiled:.*no room for it"):
        compiling.compile_model(tmp_path / "out", _silent)
    assert (tmp_path / "out" / "kept").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"failing", "out"}
