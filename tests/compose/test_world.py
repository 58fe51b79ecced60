"""Scenarios that break the protocol's actors, played on containers: the same files, the same checks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.worlds.compose import RUN_PREFIX
from scenarios.worlds.containers import engine as docker_engine
from scenarios.worlds.containers import projects

pytestmark = pytest.mark.timeout(600)
SCENARIOS = ("coordinator-crash", "participant-crash", "channel-lost-reply")


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
    assert not [name for name in projects(docker_engine()) if name.startswith(RUN_PREFIX)]
