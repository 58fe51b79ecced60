"""The supervisor against small stand-in programs: what starts must be seen, and nothing may outlive the lab."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scenarios.worlds.base import WorldError
from scenarios.worlds.supervisor import ChildSpec, Replica, Supervisor, last_lines, wait_until

DEADLINE_S = 60.0
ORDERLY = "import sys; print('up', flush=True); sys.stdin.read(); print('orderly', flush=True)"
POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)))
print('up', flush=True)
while True: time.sleep(0.05)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', flush=True)
while True: time.sleep(0.05)
"""
FAILS = "import sys; print('cannot open the ledger', file=sys.stderr); sys.exit(7)"


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    made = Supervisor()
    yield made
    made.kill_all()


def spec(folder: Path, program: str, name: str = "order-0") -> ChildSpec:
    replica = Replica(name.rsplit("-", 1)[0], name)
    return ChildSpec(name, (replica,), (sys.executable, "-u", "-c", program), dict(os.environ), folder / f"{name}.log")


def is_up(child_spec: ChildSpec, times: int = 1) -> bool:
    return wait_until(lambda: child_spec.log.exists() and child_spec.log.read_text().count("up") >= times, DEADLINE_S)


def gone(pid: int) -> bool:
    """No such process, or only its entry in the process table is left."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def names_of(supervisor: Supervisor) -> list[str]:
    return [event.event for event in supervisor.events]


def test_a_child_logs_to_its_own_file_and_stops_when_asked(tmp_path: Path, supervisor: Supervisor) -> None:
    child_spec = spec(tmp_path, POLITE)
    child = supervisor.start(child_spec)
    assert is_up(child_spec)
    assert supervisor.stop(["order-0"], DEADLINE_S) == []
    assert child_spec.log.read_text().split() == ["up", "bye"]
    assert gone(child.pid)
    assert names_of(supervisor) == ["started", "stopped"]


def test_a_child_that_ignores_the_request_is_killed_after_the_deadline(tmp_path: Path, supervisor: Supervisor) -> None:
    child_spec = spec(tmp_path, DEAF)
    child = supervisor.start(child_spec)
    assert is_up(child_spec)
    assert supervisor.stop(["order-0"], 0.2) == ["order-0"]
    assert gone(child.pid)


def test_a_paused_child_stops_in_order_too(tmp_path: Path, supervisor: Supervisor) -> None:
    child_spec = spec(tmp_path, POLITE)
    supervisor.start(child_spec)
    assert is_up(child_spec)
    supervisor.pause("order-0")
    assert supervisor.stop(["order-0"], DEADLINE_S) == []
    assert child_spec.log.read_text().split() == ["up", "bye"]


def test_a_death_nobody_asked_for_is_told_once_and_names_the_log(tmp_path: Path, supervisor: Supervisor) -> None:
    child_spec = spec(tmp_path, FAILS)
    supervisor.start(child_spec)
    seen = []
    assert wait_until(lambda: bool(seen.extend(supervisor.deaths()) or seen), DEADLINE_S)
    assert supervisor.deaths() == []
    assert seen[0].status == 7
    assert "order-0" in seen[0].describe()
    assert str(child_spec.log) in seen[0].describe()
    assert "cannot open the ledger" in last_lines(child_spec.log)


def test_kill_is_no_surprise_and_restart_continues_the_log(tmp_path: Path, supervisor: Supervisor) -> None:
    child_spec = spec(tmp_path, ORDERLY)
    first = supervisor.start(child_spec).pid
    assert is_up(child_spec)
    supervisor.kill("order-0")
    assert supervisor.deaths() == []
    assert supervisor.restart("order-0").pid != first
    assert is_up(child_spec, times=2)
    assert names_of(supervisor) == ["started", "died", "restarted"]


def test_pause_stops_the_process_and_resume_continues_it(tmp_path: Path, supervisor: Supervisor) -> None:
    child_spec = spec(tmp_path, ORDERLY)
    process = psutil.Process(supervisor.start(child_spec).pid)
    assert is_up(child_spec)
    supervisor.pause("order-0")
    assert wait_until(lambda: process.status() == psutil.STATUS_STOPPED, DEADLINE_S)
    supervisor.resume("order-0")
    assert wait_until(lambda: process.status() != psutil.STATUS_STOPPED, DEADLINE_S)


def test_children_start_only_from_the_thread_that_the_kernel_watches(tmp_path: Path, supervisor: Supervisor) -> None:
    caught: list[BaseException] = []

    def start_elsewhere() -> None:
        try:
            supervisor.start(spec(tmp_path, ORDERLY))
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start_elsewhere)
    thread.start()
    thread.join(DEADLINE_S)
    assert len(caught) == 1


def test_a_program_that_does_not_exist_is_a_clear_error(tmp_path: Path, supervisor: Supervisor) -> None:
    missing = ChildSpec("order-0", (Replica("order", "order-0"),), ("/no/such/program",), {}, tmp_path / "x.log")
    with pytest.raises(WorldError, match="/no/such/program"):
        supervisor.start(missing)


LAB = """
import os, signal, sys
from pathlib import Path
from scenarios.worlds.supervisor import ChildSpec, Replica, Supervisor, wait_until
folder = Path(sys.argv[1])
supervisor = Supervisor()
program = {deaf!r}
for name in ("gateway-0", "order-0"):
    log = folder / (name + ".log")
    spec = ChildSpec(name, (Replica(name[:-2], name),), (sys.executable, "-c", program), dict(os.environ), log)
    supervisor.start(spec)
    wait_until(lambda: log.exists() and "up" in log.read_text(), 10)
supervisor.pause("order-0")
print(*[child.pid for child in supervisor.children.values()], flush=True)
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_sigkill_of_the_lab_takes_deaf_and_stopped_children_along(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LAB.format(deaf=DEAF), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        pids = [int(word) for word in lab.stdout.readline().split()]
        assert len(pids) == 2
        assert wait_until(lambda: psutil.Process(pids[1]).status() == psutil.STATUS_STOPPED, DEADLINE_S)
        os.kill(lab.pid, signal.SIGKILL)
        assert wait_until(lambda: all(gone(pid) for pid in pids), DEADLINE_S)


def test_a_child_that_reads_its_stdin_ends_in_order_without_the_lab(tmp_path: Path, supervisor: Supervisor) -> None:
    child_spec = spec(tmp_path, ORDERLY)
    child = supervisor.start(child_spec)
    assert is_up(child_spec)
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert child.process.wait(DEADLINE_S) == 0
    assert "orderly" in child_spec.log.read_text()
