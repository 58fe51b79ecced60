"""The lab's side of the load generator, against stand-in programs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scenarios.worlds.base import WorldError
from scenarios.worlds.loader import Loader, read_document, read_lines
from scenarios.worlds.supervisor import wait_until

OBEDIENT = """
import sys
print('ready', flush=True)
print(sys.stdin.readline(), file=open(sys.argv[sys.argv.index('--out') + 1] + '/told', 'w'), flush=True)
"""
WAITS = "import sys; print('ready', flush=True); sys.stdin.readline(); sys.stdin.read()"
FAILS = "import sys; sys.exit('no account could be opened')"
DIES_LATER = "import sys; print('ready', flush=True); sys.stdin.readline(); sys.exit('the disk is full')"
DEADLINE_S = 60.0


def loader(folder: Path, program: str) -> Loader:
    command = (sys.executable, "-c", program)
    return Loader(folder / "plan.json", "http://127.0.0.1:1", folder / "load", folder, program=command)


def test_the_start_is_told_once_it_is_ready(tmp_path: Path) -> None:
    looks: list[int] = []
    with loader(tmp_path, OBEDIENT) as started:
        started.await_ready(lambda: looks.append(1))
        started.start(1_700_000_000_123)
        started.finish(DEADLINE_S)
    assert (tmp_path / "load" / "told").read_text().strip() == "start 1700000000123"
    assert looks  # the platform was looked after meanwhile


def test_one_that_fails_before_it_is_ready_is_a_clear_error(tmp_path: Path) -> None:
    with (
        pytest.raises(WorldError, match=r"(?s)before it was ready.*no account could be opened"),
        loader(tmp_path, FAILS) as started,
    ):
        started.await_ready(lambda: None)


def test_one_that_dies_during_the_run_is_a_clear_error(tmp_path: Path) -> None:
    with loader(tmp_path, DIES_LATER) as started:
        started.await_ready(lambda: None)
        started.start(1)
        assert wait_until(started.has_ended, DEADLINE_S)
        with pytest.raises(WorldError, match="the disk is full"):
            started.check()


def test_leaving_early_ends_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), loader(tmp_path, WAITS) as started:
        started.await_ready(lambda: None)
        raise KeyboardInterrupt
    assert started.process.returncode == 0  # it ended by itself when the lab let go


def test_a_record_cut_off_in_the_middle_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": ')
    assert read_lines(path) == [{"a": 1}, {"a": 2}]


def test_files_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"operations\.jsonl"):
        read_lines(tmp_path / "operations.jsonl")
    (tmp_path / "generator.json").write_text('{"planned": ')
    with pytest.raises(WorldError, match=r"generator\.json"):
        read_document(tmp_path / "generator.json")
