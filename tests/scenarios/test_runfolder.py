"""The run folder: names, states, and what happens when the disk is full."""

import errno
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scenarios.runfolder import RunFolder, RunFolderError, RunState, create, existing, run_name


def test_two_runs_in_one_second_do_not_share_a_folder(tmp_path: Path) -> None:
    name = run_name(datetime(2026, 1, 31, 23, 59, 58, tzinfo=UTC), "baseline", "simulated", 7)
    assert name == "20260131-235958-baseline-simulated-7"
    assert [create(tmp_path, name).path.name for _ in range(3)] == [name, f"{name}-2", f"{name}-3"]


def test_a_new_folder_is_running_and_later_what_became_of_it(tmp_path: Path) -> None:
    folder = create(tmp_path, "run")
    assert folder.status() == {"state": "running"}
    folder.set_state(RunState.FINISHED, verdict="pass")
    assert existing(folder.path).status() == {"state": "finished", "verdict": "pass"}
    assert sorted(path.name for path in folder.path.iterdir()) == ["databases", "logs", "status.json"]


def test_even_on_a_full_disk_the_state_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = create(tmp_path, "run")

    def full(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", full)
    folder.set_state(RunState.ERROR, reason="no space left")
    assert folder.status() == {"state": "error"}


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is no run folder: No such file"):
        existing(tmp_path)
    (tmp_path / "status.json").write_text("[]")
    with pytest.raises(RunFolderError, match="is not an object"):
        RunFolder(tmp_path).status()
