"""Short real runs of the world `processes`: real services, real load, real faults, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from scenarios.history import History
from scenarios.plan import Plan, plan
from scenarios.runfolder import RunFolder, create
from scenarios.spec import load_scenario
from scenarios.worlds.base import SilentProgress, UnsupportedPlan, WorldError
from scenarios.worlds.embedded import PlatformSecrets
from scenarios.worlds.processes import ProcessesWorld
from scenarios.worlds.supervisor import wait_until
from settlement.topology import DEFAULT_TOPOLOGY, SERVICES, process_name, processes

from .playing import running_in, verdicts

DEADLINE_S = 30.0
SECRETS = PlatformSecrets().environment(with_faults=True).keys()

QUIET = """
name: quiet
question: Does anything happen at all?
load: {kind: open, mix: {pay: 60, browse: 20, refund: 20}, stages: [{rate: 8, for: 6s}], pool: 20}
phases: {warmup: 1s, recovery: 2s}
expect: [atomic]
"""
MERGED = QUIET.replace("load:", "platform: {topology: merged}\nload:")


def planned(folder: Path, text: str, seed: int = 11) -> Plan:
    path = folder / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    return plan(load_scenario(path), seed)


class Eavesdropper(SilentProgress):
    """Notes, while the services run, what they were told and nobody else may know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets: dict[str, str] = {}

    def clock(self, now_s: float) -> None:
        for process in running_in(self.folder):
            self.secrets |= {name: value for name, value in process.environ().items() if name in SECRETS}


@dataclass(frozen=True)
class QuietRun:
    """What came of it, and what must not be found in its folder."""

    history: History
    folder: RunFolder
    secrets: dict[str, str]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> QuietRun:
    where = tmp_path_factory.mktemp("quiet")
    made, folder, heard = planned(where, MERGED), create(where / "runs", "run"), Eavesdropper(where)
    folder.plan.write_text(made.to_json(), encoding="utf-8")
    return QuietRun(ProcessesWorld().play(made, folder, heard), folder, heard.secrets)


def test_a_quiet_run_settles_what_it_was_asked_to(quiet: QuietRun) -> None:
    history = quiet.history
    payments, generator = history["payments"], history["generator"].iloc[0]
    assert generator.started == generator.planned == len(history.plan.arrivals)
    assert len(payments) >= 20
    assert set(payments[payments.kind == "pay"].outcome) == {"ok"}
    settled = set(history["transactions"].query("event == 'decided' and value == 'commit'").gid)
    assert set(payments[payments.outcome == "ok"].gid) <= settled
    assert history["faults"].empty
    assert history.meta["unresolved"] == {}
    assert set(verdicts(history).values()) == {"pass"}, verdicts(history)


def test_a_quiet_run_leaves_tables_logs_and_databases(quiet: QuietRun) -> None:
    history, folder = quiet.history, quiet.folder
    for table in ("requests", "orders", "stock", "postings", "charges", "holds", "resources"):
        assert len(history[table]) > 0, table
    assert history["requests"].intended_s.min() >= 0
    assert history["transactions"].at_s.min() >= 0
    running = {process_name(services, 0) for services in processes("merged")}
    assert running | {"loadtests", "lab"} == set(history["resources"].process)
    assert {path.stem for path in folder.logs.glob("*-0.log")} == running
    assert {path.name for path in folder.databases.iterdir()} == {f"{service}.sqlite" for service in SERVICES}
    assert running_in(folder.path) == []


def test_services_that_share_a_process_behave_as_they_do_apart(quiet: QuietRun) -> None:
    assert "usercenter-0+order-0" in set(quiet.history["resources"].process)
    assert set(quiet.history["services"].query("event == 'ready'").service) == set(SERVICES)


def test_secrets_stay_out_of_the_run_folder(quiet: QuietRun) -> None:
    assert quiet.secrets.keys() == SECRETS
    content = b"".join(path.read_bytes() for path in quiet.folder.path.rglob("*") if path.is_file())
    assert content
    assert not any(value.encode() in content for value in quiet.secrets.values())


def test_an_unplanned_death_ends_the_run_and_names_the_log(tmp_path: Path) -> None:
    class Assassin(SilentProgress):
        """Kills the order service as soon as the load begins."""

        def clock(self, now_s: float) -> None:
            for process in running_in(tmp_path):
                if "order-0" in process.cmdline():
                    process.kill()

    made, folder = planned(tmp_path, QUIET), create(tmp_path / "runs", "run")
    folder.plan.write_text(made.to_json(), encoding="utf-8")
    with pytest.raises(WorldError, match=r"order-0 was killed by signal 9.*order-0\.log"):
        ProcessesWorld().play(made, folder, Assassin())
    assert running_in(tmp_path) == []


def test_what_this_world_cannot_do_is_refused_before_anything_starts(tmp_path: Path) -> None:
    made, folder = planned(tmp_path, QUIET), create(tmp_path / "runs", "run")
    wanted = replace(made, platform=replace(made.platform, replicas={"configcenter": 2}))
    with pytest.raises(UnsupportedPlan, match=r"configcenter has one replica"):
        ProcessesWorld().play(wanted, folder, SilentProgress())
    assert list(folder.logs.iterdir()) == []


def start_lab(folder: Path) -> subprocess.Popen[bytes]:
    path = folder / "scenario.yaml"
    path.write_text(QUIET.replace("for: 6s", "for: 60s"), encoding="utf-8")
    command = [sys.executable, "-m", "scenarios.cli", "run", str(path), "--world", "processes", "--out", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def children_under_load(lab: subprocess.Popen[bytes], folder: Path) -> list[psutil.Process]:
    """All services and the load generator, once requests are being recorded."""
    assert wait_until(lambda: any(folder.rglob("requests.jsonl")), DEADLINE_S), lab.poll()
    records = next(folder.rglob("requests.jsonl"))
    assert wait_until(lambda: records.stat().st_size > 0, DEADLINE_S)
    children = psutil.Process(lab.pid).children(recursive=True)
    assert len(children) == len(processes(DEFAULT_TOPOLOGY)) + 1
    return children


def dead(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_cleans_up_and_says_so(tmp_path: Path, number: signal.Signals) -> None:
    with start_lab(tmp_path) as lab:
        children = children_under_load(lab, tmp_path)
        lab.send_signal(number)
        assert lab.wait(DEADLINE_S) == 130
    assert all(dead(child) for child in children)
    (status,) = tmp_path.rglob("status.json")
    assert json.loads(status.read_text())["state"] == "interrupted"
    assert list(tmp_path.rglob("*.sqlite-wal")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_sigkill_of_the_lab_takes_everything_along_even_what_is_stopped(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab:
        children = children_under_load(lab, tmp_path)
        stopped = next(child for child in children if "order-0" in child.cmdline())
        stopped.suspend()
        os.kill(lab.pid, signal.SIGKILL)
        assert wait_until(lambda: all(dead(child) for child in children), DEADLINE_S)
