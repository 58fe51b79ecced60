"""What `paylab recover` reads and decides, without an engine; tests/compose kills real labs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scenarios import recovery
from scenarios.cli import app
from scenarios.state import birth_s
from scenarios.worlds.attachment import FILE, Attachment, Before
from scenarios.worlds.base import WorldError
from scenarios.worlds.containers import Joined, NoEngine
from scenarios.worlds.injector import UNDO_FILE, UndoLog
from scenarios.worlds.owner import is_gone, own_mark


@pytest.fixture
def ended_mark() -> str:
    """Of a process that ran a moment ago."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = f"{process.pid}-{int(birth_s(process.pid) or 0)}"
    assert not is_gone(mark)
    process.communicate()
    return mark


def test_a_process_that_ended_is_gone_and_this_one_is_not(ended_mark: str) -> None:
    assert is_gone(ended_mark)
    assert not is_gone(own_mark())


def test_a_process_id_that_is_used_again_is_not_its_first_owner() -> None:
    pid, born = own_mark().split("-")
    assert is_gone(f"{pid}-{int(born) - 3_600}")


@pytest.mark.parametrize("mark", ["", "4242", "x-1", "4242-", "-1", "4242-17-8"])
def test_what_is_no_mark_belongs_to_nobody_we_know(mark: str) -> None:
    assert not is_gone(mark)


def test_only_projects_of_runs_whose_lab_is_gone_are_abandoned(ended_mark: str) -> None:
    assert recovery._is_abandoned(f"paylab-run-{ended_mark}")
    assert not recovery._is_abandoned(f"paylab-run-{own_mark()}")
    assert not recovery._is_abandoned(f"paylab-test-{ended_mark}")
    assert not recovery._is_abandoned("paylab")
    assert not recovery._is_abandoned("paylab-run-of-mine")


def undone(*fault: str, folder: Path, event: str = "undone") -> None:
    log = UndoLog(folder / UNDO_FILE)
    for each in fault:
        log.write(each, "intended" if event == "intended" else "undone", f"restart {each}")


def test_what_was_begun_and_not_ended_is_left(tmp_path: Path) -> None:
    undone("f1", "f2", "f3", folder=tmp_path, event="intended")
    undone("f2", folder=tmp_path)
    assert recovery.not_undone(tmp_path) == ["f1: restart f1", "f3: restart f3"]
    undone("f1", "f3", folder=tmp_path)
    assert recovery.not_undone(tmp_path) == []


def test_a_line_that_the_kill_cut_off_was_followed_by_no_fault(tmp_path: Path) -> None:
    undone("f1", folder=tmp_path, event="intended")
    with (tmp_path / UNDO_FILE).open("a") as file:
        file.write(json.dumps({"fault": "f2", "event": "intended", "undo": "restart f2"})[:30])
    assert recovery.not_undone(tmp_path) == ["f1: restart f1"]


def test_a_folder_without_an_undo_log_is_no_run_with_faults(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="made no faults"):
        recovery.not_undone(tmp_path)


ATTACHMENT = Attachment(
    "shop",
    "4242-1795488757",
    (Before("cart-0", "ab12", 1_000_000_000, "unless-stopped", (Joined("shop_default", ("cart",), "10.0.0.7"),)),),
)


def test_what_a_project_was_like_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert Attachment.read(tmp_path) is None
    ATTACHMENT.write(tmp_path)
    assert Attachment.read(tmp_path) == ATTACHMENT


def test_an_attachment_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"project": ')
    with pytest.raises(WorldError, match=FILE):
        Attachment.read(tmp_path)


@pytest.fixture
def recover(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """The command on a machine without an engine."""

    def none() -> None:
        raise NoEngine("no Docker engine answers")

    monkeypatch.setattr(recovery, "engine", none)

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["recover", *words])
        return result.exit_code, result.stderr

    return run


def test_without_an_engine_a_run_of_processes_is_still_told(
    recover: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    undone("f1", folder=tmp_path, event="intended")
    code, said = recover(str(tmp_path))
    assert code == 0
    assert "the run did not undo: f1: restart f1" in said
    assert "no containers were looked for: no Docker engine answers" in said


def test_a_run_that_still_goes_on_is_left_alone(recover: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    undone("f1", folder=tmp_path, event="intended")
    Attachment("shop", own_mark(), ()).write(tmp_path)
    code, said = recover(str(tmp_path))
    assert (code, f"still runs (process {os.getpid()})" in said) == (3, True)


def test_another_project_than_the_runs_own_is_refused(recover: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    undone("f1", folder=tmp_path, event="intended")
    ATTACHMENT.write(tmp_path)
    code, said = recover(str(tmp_path), "--project", "paylab")
    assert (code, "attached to the project shop, not to paylab" in said) == (3, True)
