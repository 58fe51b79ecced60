"""The embedded platform with stand-in services: start, readiness, restart, errors that name the service and its log."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scenarios.worlds import embedded
from scenarios.worlds.base import WorldError
from scenarios.worlds.embedded import Platform
from scenarios.worlds.supervisor import Supervisor, wait_until
from scenarios.worlds.wire import call
from settlement.topology import BACKOFFICE, DEFAULT_TOPOLOGY, SERVICES, processes

STAND_IN = Path(__file__).with_name("stand_in_service.py")
DEADLINE_S = 60.0


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Platform]:
    def made(**changes: Any) -> Platform:
        program = (sys.executable, "-S", str(STAND_IN))
        return Platform(logs=tmp_path / "logs", databases=tmp_path, program=program, **changes)

    return made


def pids(platform: Platform) -> list[int]:
    return [child.pid for child in platform.supervisor.children.values()]


def test_every_service_is_ready_inside_and_gone_after(make: Callable[..., Platform], tmp_path: Path) -> None:
    with make(
        replicas={"order": 2}, profile_settings={"channel.seed": 7}, extra_environment={"EXTRA": "yes"}
    ) as platform:
        assert set(platform.addresses.replicas) == {f"{service}-0" for service in SERVICES} | {"order-1"}
        assert call("GET", f"{platform.address('order-1')}/health/ready").replica == "order-1"
        running = pids(platform)
        assert len(running) == len(processes(DEFAULT_TOPOLOGY)) + 1
    assert not any(psutil.pid_exists(pid) for pid in running)
    logs = {path.stem: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert '{"channel.seed": 7}' in logs["configcenter-0"]
    assert "config=None extra=yes" in logs["order-1"]


def test_no_secret_is_written_anywhere(make: Callable[..., Platform], tmp_path: Path) -> None:
    with make(inject_faults=True) as platform:
        known = platform.secrets.environment(with_faults=True)
        assert len(set(known.values())) == 5
        assert not any(value in repr(platform) for value in known.values())
    text = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(value in text for value in known.values())


@pytest.mark.parametrize("injects", [True, False])
def test_services_can_be_told_of_faults_only_where_faults_are_wanted(
    make: Callable[..., Platform], injects: bool
) -> None:
    """Who has no token has no fault endpoints."""
    with make(inject_faults=injects) as platform:
        told = [psutil.Process(pid).environ().get("PAYLAB_FAULT_TOKEN") for pid in pids(platform)]
    assert set(told) == {platform.secrets.fault if injects else None}


def test_a_killed_replica_has_no_address_until_its_next_life_is_ready(make: Callable[..., Platform]) -> None:
    with make(inject_faults=True) as platform:
        platform.kill("gateway-0")
        assert platform.address("gateway-0") is None
        assert platform.deaths() == []
        platform.restart("gateway-0")
        assert wait_until(lambda: platform.refresh() or platform.address("gateway-0") is not None, DEADLINE_S)
        address = platform.address("gateway-0")
        assert address is not None
        body = [{"id": "f"}]
        assert platform.set_faults("gateway-0", address, body).status == 200  # type: ignore[arg-type]
        assert platform.set_faults("gateway-0", address, None).body == {"faults": [{"id": "f", "hits": 0}]}
        events = [event.event for event in platform.supervisor.events if event.replica == "gateway-0"]
    assert events == ["started", "ready", "died", "restarted", "ready"]


def test_a_restarted_registry_keeps_its_address(make: Callable[..., Platform]) -> None:
    with make() as platform:
        platform.kill("configcenter-0")
        platform.restart("configcenter-0")
        assert wait_until(lambda: platform.refresh() or platform.address("configcenter-0") is not None, DEADLINE_S)
        assert platform.address("configcenter-0") == platform.registry


def test_a_service_that_ends_while_starting_is_named_with_the_end_of_its_log(make: Callable[..., Platform]) -> None:
    platform = make(extra_environment={"FAILS": "order"})
    with (
        pytest.raises(WorldError, match=r"order-0 ended with status 1.*\n.*cannot open the ledger") as caught,
        platform,
    ):
        pass
    assert caught.value.log is not None
    assert caught.value.log.name == "order-0.log"
    assert not any(psutil.pid_exists(pid) for pid in pids(platform))


def test_a_service_that_does_not_become_ready_is_named(
    make: Callable[..., Platform], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_ready, ready = Supervisor.mark_ready, set()

    def impatient_with_the_last(self: Supervisor, name: str, at_ms: int) -> None:
        mark_ready(self, name, at_ms)
        ready.add(name)
        if len(ready) == len(processes(DEFAULT_TOPOLOGY)) - 1:
            monkeypatch.setattr(embedded, "READY_DEADLINE_S", 0.0)

    monkeypatch.setattr(Supervisor, "mark_ready", impatient_with_the_last)
    platform = make(extra_environment={"NEVER_READY": "cart"})
    with pytest.raises(WorldError, match=r"cart-0 is not ready after 0 s"), platform:
        pass
    assert not any(psutil.pid_exists(pid) for pid in pids(platform))


def test_a_busy_port_is_named_and_nothing_is_started(make: Callable[..., Platform]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        platform = make(port=port)
        with pytest.raises(WorldError, match=rf"port {port} .*--port"), platform:
            pass
    assert platform.supervisor.children == {}


def test_a_reserved_port_goes_to_nobody_else_and_to_the_registry(make: Callable[..., Platform]) -> None:
    with embedded.reserve(0) as held:
        port = held.getsockname()[1]
        with socket.socket() as rival, pytest.raises(OSError, match="in use"):
            rival.bind(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port)) as child:  # with SO_REUSEADDR, as servers do
            assert child.getsockname()[1] == port


def test_interrupting_a_platform_leaves_nothing_behind(make: Callable[..., Platform]) -> None:
    platform = make()
    with pytest.raises(KeyboardInterrupt), platform:
        platform.impair("payment-0", "pause", {})
        raise KeyboardInterrupt
    assert not any(psutil.pid_exists(pid) for pid in pids(platform))


LEAVES_A_LOG = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("CREATE TABLE payments (id INTEGER)")
os._exit(0)  # as if killed: nothing is closed
"""


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Who is started in the background of a script ignores SIGINT until told otherwise."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("interrupted_before", [False, True])
def test_an_interrupt_while_stopping_waits_until_all_is_stopped_in_order(
    make: Callable[..., Platform], tmp_path: Path, interrupted_before: bool
) -> None:
    database, may_stop = tmp_path / "order.sqlite", tmp_path / "may-stop"
    log = tmp_path / "logs" / "order-0.log"
    subprocess.run([sys.executable, "-c", LEAVES_A_LOG, str(database)], check=True)
    left = database.with_name("order.sqlite-wal")
    assert left.stat().st_size > 0

    def interrupt_twice() -> None:
        assert wait_until(lambda: log.exists() and "stopping" in log.read_text(), DEADLINE_S)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        may_stop.touch()

    user = threading.Thread(target=interrupt_twice)
    with pytest.raises(KeyboardInterrupt), make(extra_environment={"STOPS_AFTER": str(may_stop)}):
        user.start()
        if interrupted_before:
            raise KeyboardInterrupt
    user.join(DEADLINE_S)
    for path in (tmp_path / "logs").iterdir():
        assert path.read_text().endswith("stopped in order\n"), path.name
    assert not left.exists() or left.stat().st_size == 0


def test_services_of_a_merged_topology_share_their_process(make: Callable[..., Platform]) -> None:
    specs = {spec.name: spec for spec in make(topology="merged", replicas={"order": 2})._specs()}
    assert "usercenter-0+order-0" in specs
    assert "order-1" in specs
    command = " ".join(specs["usercenter-0+order-0"].command)
    assert "--service usercenter --replica usercenter-0 --port 0 --service order --replica order-0 --port 0" in command


def test_the_back_office_shares_a_process_unless_it_is_split(make: Callable[..., Platform]) -> None:
    compact = {spec.name: spec for spec in make(replicas={"message": 2})._specs()}
    assert compact["backoffice-0"].names == tuple(f"{service}-0" for service in BACKOFFICE)
    assert compact["message-1"].names == ("message-1",)
    assert "gateway-0" in compact
    assert compact["backoffice-0"].log.name == "backoffice-0.log"
    split = {spec.name for spec in make(topology="split")._specs()}
    assert split == {f"{service}-0" for service in SERVICES}


def test_what_is_done_to_one_of_the_back_office_is_done_to_all_of_it(make: Callable[..., Platform]) -> None:
    with make() as platform:
        pid = platform.child_of("audit-0").pid
        platform.impair("message-0", "pause", {})
        assert wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, DEADLINE_S)
        platform.relieve("message-0", "pause")
        platform.kill("message-0")
        assert [platform.address(f"{service}-0") for service in BACKOFFICE] == [None] * len(BACKOFFICE)
        assert platform.address("gateway-0")
        platform.restart("audit-0")

        def all_back() -> bool:
            platform.refresh()
            return all(platform.address(f"{service}-0") for service in BACKOFFICE)

        assert wait_until(all_back, DEADLINE_S)
