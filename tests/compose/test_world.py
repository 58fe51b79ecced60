"""Scenarios that break the protocol's actors, played on containers: the same files, the same checks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scenarios import history as histories
from scenarios.recovery import _is_abandoned, remove_abandoned
from scenarios.worlds.attaching import PLAYS_ON_LABEL
from scenarios.worlds.compose import RUN_PREFIX
from scenarios.worlds.compose_secrets import FOLDER_PREFIX
from scenarios.worlds.containers import engine as docker_engine
from scenarios.worlds.containers import projects

from . import playing

pytestmark = pytest.mark.timeout(900)
SCENARIOS = ("coordinator-crash", "participant-crash", "channel-lost-reply")


@pytest.fixture(autouse=True)
def nothing_stays(engine: None) -> Iterator[None]:
    """However a test ends, by its time limit too: no project of a lab that is gone is left to the next."""
    remove_abandoned()
    yield
    remove_abandoned()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_passes_in_containers_and_leaves_none(scenario: str, engine: None, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scenarios.cli", "run", scenario, "--world", "compose", "--json"]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1, 3), done.stderr
    document = json.loads(done.stdout)
    failed = [check for check in document.get("checks", []) if check["verdict"] != "pass"]
    assert (document["verdict"], failed) == ("pass", []), done.stderr
    (folder,) = tmp_path.iterdir()
    assert (folder / "report.html").exists()
    assert {"gateway-0.log", "mariadb.log"} <= {log.name for log in (folder / "logs").iterdir()}
    assert any((folder / "metrics").glob("*.prom"))
    used = histories.read(folder)["resources"].groupby("process")["cpu_s_per_s"].max()
    assert (used[["gateway-0", "risk-0", "mariadb", histories.GENERATOR]] > 0).all(), used
    assert not [name for name in projects(docker_engine()) if name.startswith(RUN_PREFIX)]


def test_a_killed_lab_leaves_containers_and_recover_removes_them(engine: None, tmp_path: Path) -> None:
    path = playing.scenario(tmp_path, long="80s", load="60s", recovery="30s")
    words = ["run", str(path), "--world", "compose", "--out", str(tmp_path / "runs")]
    playing.killed_amid_faults(playing.paylab(*words, folder=tmp_path), tmp_path / "runs")
    client = docker_engine()
    (left,) = [name for name in projects(client) if name.startswith(RUN_PREFIX) and _is_abandoned(name)]
    assert list(tmp_path.glob(f"{FOLDER_PREFIX}*"))
    recovery = playing.paylab("recover", folder=tmp_path)
    said = "".join(recovery.communicate())
    assert (recovery.returncode, f"removed the project {left}" in said) == (0, True), said
    assert left not in projects(client)
    assert not list(tmp_path.glob(f"{FOLDER_PREFIX}*"))
    assert not client.containers.list(all=True, filters={"label": f"{PLAYS_ON_LABEL}={left}"})
