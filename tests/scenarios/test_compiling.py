"""The compiled model: it plays what the interpreted one plays, and says what it lacks and when it is out of date."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from scenarios import compiling
from scenarios.cli import app
from scenarios.errors import LabError

from ..children import importing_first

UNOPTIMISED = "0"
TWO = ("simulator/resources/job.py", "simulator/resources/statistics.py")
SLOW = pytest.mark.timeout(1_200)
"""A compiler that everybody else goes before."""

# What is played: scenarios of the catalogue, one with a database server and connections to it, a sweep by workers, and
# random platforms with every kind of fault.
_PLAY = """
import json
import sys
from dataclasses import replace
from pathlib import Path
from scenarios.fuzz.campaign import play_seeds
from scenarios.history import history_sha256
from scenarios.plan import plan
from scenarios.spec import load_scenario
from scenarios.sweep import Workers, sweep
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
swept = sweep("baseline", {"platform.replicas.gateway": [1, 2]}, workers=Workers(2), parent=Path(sys.argv[1])).digest
fuzzed = {each.seed: [each.digest, *each.findings] for each in play_seeds(range(1, 41))}
print(json.dumps({"model": kernel.__file__, "histories": [played, fuzzed, swept]}))
"""


def _silent(done: int, of: int) -> None:
    assert 0 <= done <= of


def _needs_a_compiler() -> None:
    if (missing := compiling.needed()) and os.environ.get("CI") != "true":
        pytest.skip(f"not there: {', '.join(missing)}")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _needs_a_compiler()
    folder = tmp_path_factory.mktemp("compiled") / "model"
    compiling.compile_model(folder, _silent, UNOPTIMISED)
    return folder


def _child(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": importing_first(folder), "COLUMNS": "200"}
    return subprocess.run([sys.executable, "-P", *arguments], env=environment, capture_output=True, text=True)


def _played(folder: Path, runs: Path) -> Any:
    child = _child(folder, "-c", _PLAY, str(runs))
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@SLOW
def test_equal_inputs_give_equal_histories_byte_for_byte(compiled: Path, tmp_path: Path) -> None:
    machine, plain = _played(compiled, tmp_path), _played(compiling.SOURCE.parent, tmp_path)
    assert Path(machine["model"]).is_relative_to(compiled)
    assert not machine["model"].endswith(".py")
    assert Path(plain["model"]).is_relative_to(compiling.SOURCE)
    assert machine["histories"] == plain["histories"]
    assert len(set(plain["histories"][0].values())) == 3


@SLOW
def test_what_is_up_to_date_is_not_compiled_again(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(compiled.parent.iterdir()) == [compiled], "nothing else is left"
    monkeypatch.setattr(compiling, "compile_model", lambda *_: pytest.fail("compiled again"))
    result = CliRunner().invoke(app, ["compile", "--out", str(compiled)])
    assert (result.exit_code, result.stderr) == (0, f"{compiled} is up to date\n")


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _needs_a_compiler()
    folder = tmp_path_factory.mktemp("small") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "modules", lambda: list(TWO))
        compiling.compile_model(folder, _silent, UNOPTIMISED)
    return folder


@pytest.fixture
def small(compiled_once: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a model of which two modules were compiled."""
    monkeypatch.setattr(compiling, "modules", lambda: list(TWO))
    folder = tmp_path / "my models" / "small"
    shutil.copytree(compiled_once, folder)
    assert compiling.is_current(folder)
    return folder


def _other_constant(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    shipped = folder.parent / "settlement"
    shutil.copytree(compiling.SHIPPED, shipped)
    (shipped / "topology.py").write_text("ORPHAN_AFTER_MS = 1\n", encoding="utf-8")
    monkeypatch.setattr(compiling, "SHIPPED", shipped)


def _other_figures(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    source = folder.parent / "simulator"
    shutil.copytree(compiling.SOURCE, source)
    (source / "calibration" / "default.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(compiling, "SOURCE", source)


def _other_python(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(compiling, "_SUFFIX", ".cpython-399.so")


def _no_library(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for path in folder.glob("*__mypyc*"):
        path.unlink()


@SLOW
@pytest.mark.parametrize("change", [_other_constant, _other_figures, _other_python, _no_library])
def test_a_model_is_out_of_date_when_anything_it_depends_on_changes(
    small: Path, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    change(monkeypatch, small)
    assert not compiling.is_current(small)


@SLOW
def test_an_older_model_is_replaced(small: Path) -> None:
    (small / compiling.MARKER).write_text("older", encoding="ascii")
    (small / "simulator" / "kernel.py").write_text("", encoding="utf-8")
    compiling.compile_model(small, _silent, UNOPTIMISED)
    assert compiling.is_current(small)
    assert (small / "simulator" / "kernel.py").read_bytes() == (compiling.SOURCE / "kernel.py").read_bytes()
    assert list(small.parent.iterdir()) == [small]


_INTERRUPTED = """
import sys
from pathlib import Path
from scenarios import cli, compiling
compiling.modules = lambda: ["simulator/resources/job.py", "simulator/resources/statistics.py"]
cli.main()
"""


@SLOW
def test_an_interrupt_ends_the_compilers_too_and_leaves_what_was_there(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small / compiling.MARKER).write_text("older", encoding="ascii")
    endless = small.parents[1] / "endless"
    endless.write_text(f"#!/bin/sh\necho $$ > '{endless}.new'\nmv '{endless}.new' '{endless}.pid'\nexec sleep 600\n")
    endless.chmod(0o755)
    monkeypatch.setenv("CC", str(endless))
    monkeypatch.setenv("PYTHONPATH", importing_first(compiling.SOURCE.parent))
    lab = subprocess.Popen([sys.executable, "-P", "-c", _INTERRUPTED, "compile", "--out", str(small)])
    deadline_s = time.monotonic() + 600
    while not (pid := Path(f"{endless}.pid")).exists():
        assert lab.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    compiler = psutil.Process(int(pid.read_text()))
    lab.send_signal(signal.SIGTERM)
    assert lab.wait(60) == 130
    compiler.wait(60)
    assert list(small.parent.iterdir()) == [small]
    assert (small / compiling.MARKER).read_text() == "older"


@pytest.fixture
def outdated(tmp_path: Path) -> Path:
    shutil.copytree(compiling.SOURCE, tmp_path / "old" / compiling.PACKAGE)
    (tmp_path / "old" / compiling.MARKER).write_text("other sources", encoding="ascii")
    return tmp_path / "old"


def test_no_command_plays_a_model_of_other_sources(outdated: Path) -> None:
    child = _child(outdated, "-m", "scenarios.cli", "list")
    assert child.returncode == 3
    assert child.stderr == (
        f"paylab: the model in {outdated} was compiled from other sources, or for another Python; "
        "compile it again (`paylab compile`), or take it off PYTHONPATH\n"
    )
    assert not child.stdout


def test_but_it_can_be_compiled_again_and_what_runs_can_be_stopped(outdated: Path) -> None:
    for command in ("compile", "down", "recover"):
        child = _child(outdated, "-m", "scenarios.cli", command, "--help")
        assert (child.returncode, child.stderr) == (0, "")


def test_another_checkout_is_none_of_its_business(outdated: Path) -> None:
    (outdated / compiling.MARKER).unlink()
    assert _child(outdated, "-m", "scenarios.cli", "list").returncode == 0


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
def test_a_compiler_that_fails_is_quoted_and_what_was_there_stays(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = small.parents[1] / "failing"
    failing.write_text("#!/bin/sh\necho 'no room for it' >&2\nexit 1\n", encoding="utf-8")
    failing.chmod(0o755)
    monkeypatch.setenv("CC", str(failing))
    with pytest.raises(LabError, match=r"(?s)could not be compiled:.*no room for it"):
        compiling.compile_model(small, _silent)
    assert compiling.is_current(small)
    assert list(small.parent.iterdir()) == [small]


def test_nothing_is_replaced_but_a_compiled_model(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    for taken in (tmp_path, tmp_path / "precious"):
        result = CliRunner().invoke(app, ["compile", "--out", str(taken)])
        assert result.exit_code == 2
        assert f"paylab: {taken} has something else in it than a compiled model" in result.stderr
    assert CliRunner().invoke(app, ["compile", "--out", str(tmp_path / "a:b")]).exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
