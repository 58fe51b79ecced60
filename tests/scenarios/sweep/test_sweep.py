"""A sweep's results depend on its variants alone: not on who played them, where, and in how many goes."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pandas
import pytest

from scenarios.spec import InvalidScenario, open_scenario
from scenarios.sweep import Workers, prepare, resume, running, sweep
from scenarios.sweep.axes import axis
from scenarios.sweep.design import Design
from scenarios.sweep.folder import SweepFolder, SweepFolderError
from tests.children import importing_first
from tests.scenarios.sweep.conftest import SMALL

RATES = {"load.stages.0.rate": [3, 6]}
SEEDS = (1, 2)
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The results of one worker in this process."""
    folder = tmp_path_factory.mktemp("alone")
    path = folder / "small.yaml"
    path.write_text(SMALL)
    return sweep(path, RATES, seeds=SEEDS, parent=folder)


def _prepared(small, tmp_path, seeds=SEEDS):
    return prepare(open_scenario(small), Design(axes=(axis("load.stages.0.rate", [3, 6]),), seeds=seeds), tmp_path)


def _fake(variant):
    return {"variant": variant.number, "seed": variant.seed, "verdict": "pass", "failed": "", "history_sha256": "0",
            "throughput.settled": variant.number / 3}  # fmt: skip


def test_a_row_is_what_a_run_says(alone):
    table = alone.table
    assert list(table["load.stages.0.rate"]) == [3, 3, 6, 6]
    assert list(table["seed"]) == [1, 2, 1, 2]
    assert set(table["verdict"]) == {"pass"}
    assert table["history_sha256"].nunique() == 4
    assert (table["throughput.settled"] > 0).all()


def test_other_luck_is_another_digest(alone, small, tmp_path):
    assert alone.digest != sweep(small, RATES, seeds=(3,), parent=tmp_path).digest


def test_variants_with_one_seed_meet_the_same_customers(small, tmp_path):
    """The timeout changes nothing here, so that whatever differed would be luck."""
    done = sweep(small, {"load.timeout": ["4s", "5s"]}, seeds=SEEDS, parent=tmp_path)
    difference = done.difference("latency.pay.mean", {"load.timeout": "4s"}, {"load.timeout": "5s"})
    assert (difference.value, difference.half_width) == (0.0, 0.0)
    assert done.table["latency.pay.mean"].nunique() == 2
    with pytest.raises(ValueError, match="name every key"):
        done.difference("latency.pay.mean", {}, {"load.timeout": "5s"})


def test_a_calibration_says_what_things_cost_and_is_remembered(alone, small, tmp_path):
    document = json.loads((resources.files("simulator") / "calibration" / "default.json").read_text())
    slow = tmp_path / "slow.json"
    slow.write_text(json.dumps({**document, "hop_ms": document["hop_ms"] + 20}))
    axes = (axis("load.stages.0.rate", [3]),)
    prepared = prepare(open_scenario(small), Design(axes=axes, seeds=(1,)), tmp_path, slow)
    slow.unlink()
    done = resume(prepared.folder.path).run(Workers())
    assert done.table["latency.pay.mean"][0] > alone.table["latency.pay.mean"][0] + 0.1


@pytest.mark.parametrize("backend", ["loky", "dask", "threading"])
def test_two_workers_anywhere_come_to_the_same(alone, small, tmp_path, backend):
    done = sweep(small, RATES, seeds=SEEDS, workers=Workers(2, backend), parent=tmp_path / backend)
    assert done.digest == alone.digest
    pandas.testing.assert_frame_equal(done.table, alone.table)


def test_a_finished_sweep_is_read_whatever_its_calibration_was(small, tmp_path):
    """Its rows are there; only who still has to play needs figures that this version understands."""
    prepared = _prepared(small, tmp_path)
    digest = prepared.run(Workers()).digest
    (path,) = prepared.folder.path.glob("sweep.json")
    definition = json.loads(path.read_text(encoding="utf-8"))
    definition["calibration"] = {"speed": {"per_s": 20.0, "work_us": ["250"]}}
    path.write_text(json.dumps(definition), encoding="utf-8")
    assert resume(prepared.folder.path).run(Workers()).digest == digest


def test_what_was_finished_before_an_interrupt_is_not_played_again(small, tmp_path, monkeypatch):
    seen = []

    def interrupted(variant):
        if len(seen) == 5:
            raise KeyboardInterrupt
        seen.append(variant.number)
        return _fake(variant)

    prepared = _prepared(small, tmp_path, seeds=tuple(range(1, 6)))
    monkeypatch.setattr(running, "play", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepared.run(Workers())
    assert not prepared.folder.results.exists()
    again = []
    monkeypatch.setattr(running, "play", lambda variant: again.append(variant.number) or _fake(variant))
    resumed = resume(prepared.folder.path).run(Workers())
    assert sorted(seen + again) == list(range(10))
    monkeypatch.setattr(running, "play", _fake)
    assert resumed.digest == _prepared(small, tmp_path, seeds=tuple(range(1, 6))).run(Workers()).digest
    assert resume(prepared.folder.path).run(Workers()).digest == resumed.digest, "finished: read, not played"
    assert len(again) == 5


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_killed_or_interrupted_sweep_goes_on_where_it_was(small, tmp_path, number, code):
    # So many that it is not at its end yet, should this process stand still for a second before it sends the signal.
    seeds, variants = 25, 6 * 25
    arguments = ("--vary", "load.stages.0.rate=3:8:1", "--seeds", f"1:{seeds}")
    command = [sys.executable, "-m", "scenarios.cli", "sweep", small, *arguments, "--workers", "1", "--out", tmp_path]
    environment = {**os.environ, "PYTHONPATH": importing_first(Path.cwd())}
    child = subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.PIPE, text=True)
    folder = _wait_for_first_part(tmp_path, child)
    child.send_signal(number)
    said = child.communicate(timeout=DEADLINE_S)[1]
    assert child.returncode == code
    assert (f"--resume {folder}" in said) == (number == signal.SIGINT)
    kept = {row["variant"]: row for row in SweepFolder(folder).rows()}
    assert 0 < len(kept) < variants
    played = []
    done = resume(folder)
    real, running.play = running.play, lambda variant: played.append(variant.number) or _fake(variant)
    try:
        table = done.run(Workers()).table
    finally:
        running.play = real
    assert set(played) == set(range(variants)) - set(kept)
    assert [kept[number]["history_sha256"] for number in sorted(kept)] == [
        value for value in table["history_sha256"] if value != "0"
    ]


def _wait_for_first_part(runs, child):
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and child.poll() is None:
        if found := list(runs.glob("sweep-*/parts/*.parquet")):
            return found[0].parents[1]
        time.sleep(0.02)  # between two looks, within the deadline above
    raise AssertionError(f"no part: {child.communicate()[1] if child.poll() is not None else 'time is up'}")


def test_nothing_is_played_unless_every_variant_is_good(small, tmp_path):
    vary = {"load.stages.0.rate": [5, "fast"], "platform.replicas.gateway": [1, 99], "load.thimk": ["1s"]}
    with pytest.raises(InvalidScenario) as found:
        sweep(small, vary, parent=tmp_path / "runs")
    told = "\n".join(map(str, found.value.problems))
    assert "'fast' is not a rate" in told
    assert "2 of 4 combinations, the first: load.stages.0.rate=fast, platform.replicas.gateway=1" in told
    assert "99 does not fit" in told
    assert told.count("load.thimk: unknown key; did you mean think?") == 1
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_is_none_or_is_in_use_or_of_other_code_is_refused(small, tmp_path, monkeypatch):
    with pytest.raises(SweepFolderError, match=r"no sweep's folder: sweep\.json: No such file"):
        resume(tmp_path)
    prepared = _prepared(small, tmp_path)
    with prepared.folder.alone(), pytest.raises(SweepFolderError, match="another paylab"):
        prepared.run(Workers())
    monkeypatch.setattr(running, "code_fingerprint", lambda: "other")
    with pytest.raises(SweepFolderError, match="code or a library of its has changed"):
        resume(prepared.folder.path)


def test_a_damaged_part_is_named(small, tmp_path):
    prepared = _prepared(small, tmp_path)
    part = prepared.folder.path / "parts" / "00000000.parquet"
    part.write_bytes(b"half a file")
    with pytest.raises(SweepFolderError, match=r"00000000\.parquet: cannot be read"):
        prepared.run(Workers())
