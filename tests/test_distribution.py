"""Who plays platforms, and who makes room for them, when `make test` runs two workers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import conftest

NOTE = """
import os
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(3))
def test_it(number):
    with Path({record!r}).open("a") as file:
        file.write(f"{name} {{os.environ['PYTEST_XDIST_WORKER']}} {{os.nice(0)}}\\n")
"""
UNITS = ("tests/deploy", "tests/settlement", "tests/simulator")


def noted(folder: Path, *names: str) -> list[tuple[str, str, int]]:
    """Place, worker and niceness of every test, in the order they ran in."""
    record = folder / "record"
    for name in names:
        place = folder / name
        place.mkdir(parents=True)
        (place / "test_it.py").write_text(NOTE.format(record=str(record), name=name), encoding="utf-8")
    shutil.copy(conftest.__file__, folder / "tests" / "conftest.py")
    options = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--import-mode=importlib"]
    command = [sys.executable, "-m", "pytest", *options, "-p", "no:schemathesis", "--rootdir", str(folder), "tests"]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    rows = [line.split() for line in record.read_text(encoding="utf-8").splitlines()]
    return [(name, worker, int(niceness)) for name, worker, niceness in rows]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, int]]:
    return noted(tmp_path_factory.mktemp("tree"), *UNITS, "tests/e2e", "tests/compose")


def test_one_worker_begins_with_all_platforms(rows: list[tuple[str, str, int]]) -> None:
    first = [name for name, worker, _ in rows if worker == conftest.PLAYS_PLATFORMS][:6]
    assert sorted(first) == ["tests/compose"] * 3 + ["tests/e2e"] * 3
    assert {name for name, worker, _ in rows if worker != conftest.PLAYS_PLATFORMS} <= set(UNITS)
    assert len(rows) == 15


def test_all_others_are_nice(rows: list[tuple[str, str, int]]) -> None:
    ours = os.nice(0)
    assert {niceness for _, worker, niceness in rows if worker == conftest.PLAYS_PLATFORMS} == {ours}
    assert {niceness for _, worker, niceness in rows if worker != conftest.PLAYS_PLATFORMS} == {conftest.NICE}
