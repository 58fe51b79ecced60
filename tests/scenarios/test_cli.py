"""The command line as a user meets it: output, problems, exit codes, interrupts. The world is a fake one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from scenarios import worlds
from scenarios.cli import app
from scenarios.spec import catalogue_names
from tests.children import importing_first

Write = Callable[..., Path]
GOOD, SLOW_REQUESTS, BREAKS, DISK_FULL, WAITS = 1, 2, 3, 4, 5  # seeds, as fake_world has them
DEADLINE_S = 60.0
HERE = Path(__file__).parent
LAUNCH = """
import sys, scenarios.worlds
scenarios.worlds.WORLDS["fake"] = "fake_world"
from scenarios.cli import main
main()
"""


@pytest.fixture(autouse=True)
def fake_worlds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setitem(worlds.WORLDS, "fake", "fake_world")
    monkeypatch.setitem(worlds.WORLDS, "other", "other_fake_world")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def paylab(tmp_path: Path) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def play(paylab: Callable[..., Result], write: Write, tmp_path: Path) -> Callable[..., Result]:
    """Run the small scenario in the fake world."""

    def run(*arguments: object, seed: int = GOOD) -> Result:
        return paylab("run", write(), "--world", "fake", "--seed", seed, "--out", tmp_path / "runs", *arguments)

    return run


def only_folder(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "runs").iterdir()
    return folder


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return found


def test_a_run_that_passes_leaves_a_complete_folder(play: Callable[..., Result], tmp_path: Path) -> None:
    result = play()
    assert result.exit_code == 0, result.output
    folder = only_folder(tmp_path)
    assert re.fullmatch(r"\d{8}-\d{6}-small-fake-1", folder.name)
    assert status(folder) == {"state": "finished", "verdict": "pass"}
    expected = {"scenario.yaml", "plan.json", "requests.parquet", "verdict.json", "report.html", "junit.xml", "logs"}
    assert expected <= {path.name for path in folder.iterdir()}
    assert json.loads((folder / "verdict.json").read_text())["question"] == "Does it work?"
    assert f"report: {folder}/report.html" in result.stderr.splitlines()


def test_a_run_that_fails_says_1_and_names_the_expectation(play: Callable[..., Result], tmp_path: Path) -> None:
    result = play(seed=SLOW_REQUESTS)
    assert result.exit_code == 1
    assert "latency.browse.p99" in result.stdout
    assert status(only_folder(tmp_path)) == {"state": "finished", "verdict": "fail"}


def test_json_is_the_verdict_alone_on_stdout(play: Callable[..., Result]) -> None:
    result = play("--json")
    verdict = json.loads(result.stdout)
    assert (verdict["verdict"], verdict["world"], verdict["seed"]) == ("pass", "fake", GOOD)
    assert "fault f1 started: kill gateway-0" in result.stderr
    assert "warning: this is a fake [world]" in result.stderr


def test_two_worlds_are_put_side_by_side(play: Callable[..., Result], tmp_path: Path) -> None:
    result = play("--world", "other", "--json")
    assert result.exit_code == 0, result.output
    assert [verdict["world"] for verdict in json.loads(result.stdout)] == ["fake", "other"]
    folders = [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]
    assert len(folders) == 2
    (compared,) = re.findall(r"side by side: (\S+)", result.stderr)
    assert Path(compared).parent == tmp_path / "runs"
    assert all(path.name in Path(compared).read_text() or "fake" in Path(compared).read_text() for path in folders)


def test_a_world_that_breaks_names_the_service_and_the_log(play: Callable[..., Result], tmp_path: Path) -> None:
    result = play("--json", seed=BREAKS)
    assert result.exit_code == 3
    assert "gateway-0 is not ready after 30 s" in result.stderr
    assert "logs/gateway-0.log" in result.stderr
    assert f"run: {only_folder(tmp_path)}" in result.stderr.splitlines()
    assert "report:" not in result.stderr  # there is none
    assert json.loads(result.stdout)["verdict"] == "unknown"
    assert status(only_folder(tmp_path))["state"] == "error"


def test_a_full_disk_is_named(play: Callable[..., Result]) -> None:
    result = play(seed=DISK_FULL)
    assert result.exit_code == 3
    assert "order.sqlite: no space left for the run; free some, or choose another place by --out" in result.stderr


def test_no_place_for_the_results_is_named(paylab: Callable[..., Result], write: Write, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = paylab("run", write(), "--world", "fake", "--out", tmp_path / "file")
    assert result.exit_code == 3
    assert f"cannot write the run folder under {tmp_path / 'file'}" in result.stderr
    assert "--out" in result.stderr


def test_bad_input_lists_everything_and_starts_nothing(
    paylab: Callable[..., Result], write: Write, tmp_path: Path
) -> None:
    path = write(("rate: 20", "rate: -20"), ("kind: kill", "kind: explode"))
    result = paylab("run", path, "--world", "fake", "--out", tmp_path / "runs", "--set", "load.pool=0")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"{path}:5: load.stages.0.rate" in result.stderr
    assert f"{path}:8: faults.0.kind: unknown fault 'explode'" in result.stderr
    assert "--set: load.pool" in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_platform_that_cannot_be_started_is_bad_input(
    paylab: Callable[..., Result], write: Write, tmp_path: Path, command: str
) -> None:
    path = write(("faults:", "platform:\n  replicas: {configcenter: 2}\nfaults:"))
    result = paylab(command, path, *(("--out", tmp_path / "runs") if command == "run" else ()))
    assert result.exit_code == 2
    assert (
        f"{path}:8: platform.replicas.configcenter: there is one, by which everybody finds everybody; expected 1"
        in result.stderr
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--world", "mars"), "unknown world 'mars'; expected one of processes, simulated, compose"),
        (("--world", "fake"), "--world fake is given twice"),
        (("--seed", "-1"), "Invalid value for '--seed'"),
    ],
)
def test_impossible_options_are_bad_input(
    play: Callable[..., Result], tmp_path: Path, arguments: tuple[str, str], text: str
) -> None:
    result = play(*arguments)
    assert result.exit_code == 2
    assert text in result.stderr
    assert not (tmp_path / "runs").exists()


def test_faults_that_a_world_cannot_make_are_all_listed(paylab: Callable[..., Result], tmp_path: Path) -> None:
    result = paylab("run", "channel-lost-reply", "--world", "fake", "--out", tmp_path / "runs")
    assert result.exit_code == 2
    assert (
        "world fake cannot play this: it cannot make these faults: drop_reply at 9 s, drop_reply at 18 s; it can make: "
        "kill" in result.stderr
    )
    assert not (tmp_path / "runs").exists()


def test_list_shows_every_scenario_in_80_columns(paylab: Callable[..., Result]) -> None:
    result = paylab("list")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in catalogue_names())
    assert "4 crash_at" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_validate_says_good_or_what_is_not(paylab: Callable[..., Result], write: Write) -> None:
    good = paylab("validate", write())
    assert good.exit_code == 0
    assert re.search(r"small.yaml: good: 10s, \d+ arrivals, faults: 1 kill", good.stdout)
    bad = paylab("validate", "baseline", write(("at: 2s", "at: 2h")), "nosuch")
    assert bad.exit_code == 2
    assert "baseline: good" in bad.stdout
    assert "faults.0.at: 7200s is after the end of the load" in bad.stderr
    assert "'nosuch': no such scenario" in bad.stderr


def test_schema_is_json(paylab: Callable[..., Result]) -> None:
    result = paylab("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"] == "paylab scenario"


@pytest.mark.parametrize("command", [(), ("run",), ("validate",), ("up",), ("schema",), ("report",)])
def test_help_teaches_by_examples_in_80_columns(paylab: Callable[..., Result], command: tuple[str, ...]) -> None:
    result = paylab(*command, "--help")
    assert result.exit_code == 0
    assert f"  paylab {' '.join(command)}".rstrip() in result.stdout
    assert all(len(line.rstrip()) <= 80 for line in result.stdout.splitlines())


def test_audit_and_report_work_from_the_folder_alone(
    play: Callable[..., Result], paylab: Callable[..., Result], tmp_path: Path
) -> None:
    before = json.loads(play("--json").stdout)
    folder = only_folder(tmp_path)
    (folder / "report.html").unlink()
    assert paylab("report", folder).exit_code == 0
    assert (folder / "report.html").exists()
    (folder / "verdict.json").unlink()
    judged = paylab("audit", folder, "--json")
    assert judged.exit_code == 0, judged.output
    assert json.loads(judged.stdout) == before


@pytest.mark.parametrize("command", ["audit", "report"])
def test_a_folder_that_is_no_run_is_named(paylab: Callable[..., Result], tmp_path: Path, command: str) -> None:
    result = paylab(command, tmp_path)
    assert result.exit_code == 3
    assert f"{tmp_path}: is no run folder" in result.stderr


def test_a_run_that_was_never_judged_has_no_report(
    play: Callable[..., Result], paylab: Callable[..., Result], tmp_path: Path
) -> None:
    play(seed=BREAKS)
    result = paylab("report", only_folder(tmp_path))
    assert result.exit_code == 3
    assert "has no verdict (its state: error)" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_cleans_up_and_says_130(write: Write, tmp_path: Path, number: signal.Signals) -> None:
    # A script's `paylab &` begins with SIGINT ignored; a test under nohup must not begin with SIGHUP ignored.
    begins = "SIG_IGN" if number == signal.SIGINT else "SIG_DFL"
    launch = f"import signal; signal.signal({int(number)}, signal.{begins})\n{LAUNCH}"
    lab = start_lab("run", write(), "--world", "fake", "--seed", WAITS, "--out", tmp_path / "runs", launch=launch)
    try:
        folder = wait_for(lambda: next((tmp_path / "runs").glob("*/playing"), None)).parent
        lab.send_signal(number)
        assert lab.wait(DEADLINE_S) == 130
    finally:
        lab.kill()
        _, errors = lab.communicate()
    assert (folder / "cleaned-up").exists()
    assert status(folder) == {"state": "interrupted"}
    assert "interrupted" in errors
    assert "Traceback" not in errors


def test_a_bug_of_the_lab_is_not_a_verdict(write: Write, tmp_path: Path) -> None:
    launch = LAUNCH.replace('"fake_world"', '"no_such_module"')
    lab = start_lab("run", write(), "--world", "fake", "--out", tmp_path / "runs", launch=launch)
    _, errors = lab.communicate(timeout=DEADLINE_S)
    assert lab.returncode == 3
    assert "No module named 'no_such_module'" in errors


def test_a_reader_that_has_enough_is_no_error() -> None:
    lab = start_lab("schema")
    assert lab.stdout
    lab.stdout.close()
    assert lab.stderr
    errors = lab.stderr.read()
    assert lab.wait(DEADLINE_S) in (0, 1)
    assert "Traceback" not in errors


def start_lab(*arguments: object, launch: str = LAUNCH) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", launch, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": importing_first(HERE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")
