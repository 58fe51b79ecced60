"""The fault timeline against a stand-in platform: what is planned must be done, undone, recorded, told again."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from scenarios.history import frame
from scenarios.plan import PlannedFault
from scenarios.worlds.base import SilentProgress
from scenarios.worlds.injector import UNDO_FILE, Injector
from scenarios.worlds.real import Death
from scenarios.worlds.supervisor import wait_until
from scenarios.worlds.wire import Reply, Unreachable

LOAD_S = 30.0
SEED = 7
POINT = "coordinator.decided.persist.after"


@dataclass
class FakeChild:
    """One replica: its state, and the list of faults that its present life keeps."""

    state: str = "running"
    pid: int = 4242
    lives: int = 1
    faults: list[dict[str, Any]] = field(default_factory=list)


class FakePlatform:
    """Replicas in memory, every fault hit `hits` times. Dead and `cut_off` have no address, `silent` do not answer."""

    def __init__(self, *replicas: str) -> None:
        self.children = {name: FakeChild() for name in replicas}
        self.done: list[str] = []
        self.silent: set[str] = set()
        self.cut_off: set[str] = set()
        self.forgets_to_answer = False
        self.hits = 0

    def names_of(self, service: str) -> list[str]:
        return [name for name in self.children if name.rsplit("-", 1)[0] == service]

    def is_dead(self, name: str) -> bool:
        return self.children[name].state == "dead"

    def whereabouts(self, name: str) -> str:
        return f"process {self.children[name].pid}"

    def address(self, replica: str) -> str | None:
        child = self.children[replica]
        return f"http://{replica}/{child.lives}" if child.state != "dead" and replica not in self.cut_off else None

    def kill(self, replica: str) -> int:
        self.done.append(f"kill {replica}")
        self.children[replica].state = "dead"
        return 0

    def restart(self, replica: str) -> None:
        self.done.append(f"restart {replica}")
        child = self.children[replica]
        child.state, child.lives, child.faults = "running", child.lives + 1, []

    def impair(self, name: str, kind: str, parameters: Mapping[str, Any]) -> None:
        self.done.append(f"{kind} {name}")

    def relieve(self, name: str, kind: str) -> None:
        self.done.append(f"end {kind} of {name}")

    def set_faults(self, replica: str, address: str, faults: list[dict[str, Any]] | None) -> Reply:
        if replica in self.silent or address != self.address(replica):
            raise Unreachable(address)
        if faults is not None:
            self.children[replica].faults = faults
            if self.forgets_to_answer:
                raise Unreachable(address)
        return Reply(200, {"faults": [{**each, "hits": self.hits} for each in self.children[replica].faults]}, replica)

    def ids(self, replica: str) -> list[str]:
        return [fault["id"] for fault in self.children[replica].faults]


def fault(kind: str, at_s: float, until_s: float, **parameters: Any) -> PlannedFault:
    return PlannedFault(f"{kind}-1", kind, at_s, until_s, parameters)


KILL = fault("kill", 1.0, 3.0, service="order", replica=1, restart_after_s=2.0)
PAUSE = fault("pause", 1.0, 4.0, service="payment", replica=0)
CRASH = fault("crash_at", 1.0, 3.0, service="gateway", replica=0, point=POINT, nth=2, restart_after_s=2.0)
LATENCY = PlannedFault(
    "slow", "latency", 1.0, 6.0,
    {"from": "payment", "to": "channel", "path": "/wallet", "share": 0.5, "delay_ms": 800.0, "jitter_ms": 0.0},
)  # fmt: skip


@pytest.fixture
def platform() -> FakePlatform:
    return FakePlatform("order-0", "order-1", "payment-0", "payment-1", "gateway-0")


@pytest.fixture
def inject(platform: FakePlatform, tmp_path: Path) -> Iterator[Callable[..., Injector]]:
    made: list[Injector] = []

    def make(*faults: PlannedFault) -> Injector:
        made.append(Injector(faults, SEED, platform, tmp_path, LOAD_S, SilentProgress()))
        return made[-1]

    yield make
    for injector in made:
        injector.close()


def until(injector: Injector, at_s: float, condition: Callable[[], bool]) -> float:
    """Step from `at_s` on in small steps until the condition holds; returns the time of the run then."""
    clock = [at_s]

    def moved() -> bool:
        clock[0] += 0.01
        injector.step(clock[0])
        return condition()

    assert wait_until(moved, 5.0, interval_s=0.001)
    return clock[0]


def undo_lines(folder: Path) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in (folder / UNDO_FILE).read_text().splitlines()]
    return [(line["event"], line["undo"]) for line in lines]


def test_kill_takes_the_named_replica_and_restarts_it_in_time(
    platform: FakePlatform, inject: Callable[..., Injector], tmp_path: Path
) -> None:
    injector = inject(KILL)
    injector.step(0.9)
    assert platform.done == []
    injector.step(1.01)
    assert platform.done == ["kill order-1"]
    assert undo_lines(tmp_path) == [("intended", "restart order-1")]
    injector.step(2.9)
    assert platform.done == ["kill order-1"]
    injector.step(3.02)
    assert platform.done == ["kill order-1", "restart order-1"]
    (row,) = injector.close()
    assert (row["target"], row["planned_s"], row["started_s"], row["ended_s"], row["hits"]) == (
        "order-1",
        1,
        1.01,
        3.02,
        1,
    )
    assert [event for event, _ in undo_lines(tmp_path)] == ["intended", "undone"]


def test_the_undo_is_on_the_disk_before_the_fault_is_made(
    platform: FakePlatform, inject: Callable[..., Injector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[tuple[str, str]]] = []
    monkeypatch.setattr(platform, "impair", lambda *_: seen.append(undo_lines(tmp_path)))
    inject(PAUSE).step(1.0)
    assert seen == [[("intended", "end the pause of payment-0, process 4242")]]


def test_pause_ends_with_resume(platform: FakePlatform, inject: Callable[..., Injector]) -> None:
    injector = inject(PAUSE)
    for at_s in (1.0, 3.9, 4.0):
        injector.step(at_s)
    assert platform.done == ["pause payment-0", "end pause of payment-0"]


def test_a_link_fault_reaches_every_caller_and_is_taken_back(
    platform: FakePlatform, inject: Callable[..., Injector]
) -> None:
    injector, platform.hits = inject(LATENCY), 3
    until(injector, 1.0, lambda: platform.ids("payment-0") == platform.ids("payment-1") == ["slow"])
    for name in ("payment-0", "payment-1"):  # each with luck of its own
        assert platform.children[name].faults == [
            {"id": "slow", "kind": "latency", "to": "channel", "path": "/wallet", "share": 0.5,
             "delay_ms": 800.0, "jitter_ms": 0.0, "seed": SEED, "replica": name}
        ]  # fmt: skip
    until(injector, 6.0, lambda: platform.ids("payment-0") == platform.ids("payment-1") == [])
    assert platform.ids("order-0") == []
    (row,) = injector.close()
    assert (row["target"], row["hits"]) == ("payment -> channel /wallet", 6)


def test_a_replica_that_does_not_answer_is_told_again(platform: FakePlatform, inject: Callable[..., Injector]) -> None:
    platform.silent.add("payment-0")
    injector = inject(LATENCY)
    until(injector, 1.0, lambda: platform.ids("payment-1") == ["slow"])
    assert [line.split(":")[0] for line in injector.pending()] == ["payment-0"]
    platform.silent.clear()
    until(injector, 2.0, lambda: platform.ids("payment-0") == ["slow"])
    until(injector, 2.5, lambda: injector.pending() == [])


def test_a_restarted_replica_gets_its_faults_back_and_keeps_its_hits(
    platform: FakePlatform, inject: Callable[..., Injector]
) -> None:
    platform.hits = 5
    injector = inject(LATENCY, fault("kill", 3.0, 4.0, service="payment", replica=0, restart_after_s=1.0))
    until(injector, 1.0, lambda: platform.ids("payment-0") == ["slow"])
    until(injector, 2.4, lambda: injector._board.hits("slow") >= 10)  # both replicas were asked
    until(injector, 3.0, lambda: platform.children["payment-0"].state == "dead")
    until(injector, 4.0, lambda: platform.ids("payment-0") == ["slow"])
    until(injector, 6.0, lambda: platform.ids("payment-0") == [])
    assert injector.close()[0]["hits"] == 15  # two lives of payment-0, one of payment-1


def test_a_replica_that_was_cut_off_is_told_what_ended_meanwhile(
    platform: FakePlatform, inject: Callable[..., Injector]
) -> None:
    injector = inject(LATENCY)
    until(injector, 1.0, lambda: platform.ids("payment-0") == ["slow"])
    platform.cut_off.add("payment-0")
    until(injector, 6.0, lambda: platform.ids("payment-1") == [])
    platform.cut_off.clear()
    until(injector, 6.5, lambda: platform.ids("payment-0") == [])


def test_hits_are_counted_once_although_other_faults_come_and_go(
    platform: FakePlatform, inject: Callable[..., Injector]
) -> None:
    platform.hits = 5
    injector = inject(LATENCY, replace(LATENCY, id="slower", at_s=2.0, until_s=3.0))
    until(injector, 1.0, lambda: platform.ids("payment-0") == platform.ids("payment-1") == ["slow"])
    until(injector, 2.0, lambda: platform.ids("payment-0") == platform.ids("payment-1") == ["slow", "slower"])
    until(injector, 3.0, lambda: platform.ids("payment-0") == platform.ids("payment-1") == ["slow"])
    until(injector, 6.0, lambda: platform.ids("payment-0") == platform.ids("payment-1") == [])
    assert [row["hits"] for row in injector.close()] == [10, 10]  # two replicas


def die(platform: FakePlatform, replica: str, status: int) -> Death:
    platform.children[replica].state = "dead"
    return Death(replica, (replica,), status, 0, Path(f"{replica}.log"))


def test_a_crash_is_armed_then_recorded_when_it_hits_then_restarted(
    platform: FakePlatform, inject: Callable[..., Injector]
) -> None:
    injector = inject(CRASH)
    until(injector, 1.0, lambda: platform.ids("gateway-0") == ["crash_at-1"])
    assert platform.children["gateway-0"].faults == [{"id": "crash_at-1", "kind": "crash_at", "point": POINT, "nth": 2}]
    assert injector.explains(die(platform, "gateway-0", -signal.SIGKILL), 9.5)
    injector.step(11.4)
    assert platform.done == []
    until(injector, 11.5, lambda: platform.done == ["restart gateway-0"])
    assert platform.ids("gateway-0") == []  # it hits once
    (row,) = injector.close()
    assert (row["started_s"], row["hits"]) == (9.5, 1)
    assert row["ended_s"] == pytest.approx(11.5, abs=0.1)
    assert POINT in row["detail"]


def test_a_crash_point_never_reached_is_recorded_with_no_hits(
    platform: FakePlatform, inject: Callable[..., Injector]
) -> None:
    injector = inject(CRASH)
    until(injector, 1.0, lambda: platform.ids("gateway-0") == ["crash_at-1"])
    until(injector, LOAD_S, lambda: platform.ids("gateway-0") == [])
    (row,) = injector.close()
    assert (row["hits"], isnan(row["started_s"])) == (0, True)
    assert "armed at 1.0" in row["detail"]
    assert "never reached" in row["detail"]


def test_deaths_that_no_fault_asked_for_are_not_explained(
    platform: FakePlatform, inject: Callable[..., Injector]
) -> None:
    injector = inject(CRASH)
    killed = -signal.SIGKILL
    assert not injector.explains(die(platform, "gateway-0", killed), 0.5)  # not armed yet
    injector.step(1.0)
    assert not injector.explains(die(platform, "gateway-0", 1), 2.0)  # ended by itself
    assert not injector.explains(die(platform, "order-0", killed), 2.0)  # somebody else
    assert injector.explains(die(platform, "gateway-0", killed), 2.0)
    assert not injector.explains(die(platform, "gateway-0", killed), 3.0)  # it hits once


def test_a_busy_replica_may_still_crash_until_it_has_heard_that_the_crash_is_over(
    platform: FakePlatform, inject: Callable[..., Injector]
) -> None:
    injector = inject(CRASH)
    until(injector, 1.0, lambda: platform.ids("gateway-0") == ["crash_at-1"])
    platform.silent = {"gateway-0"}
    until(injector, LOAD_S, lambda: bool(injector.pending()))
    assert injector.explains(die(platform, "gateway-0", -signal.SIGKILL), LOAD_S + 60)


def test_a_death_long_after_a_replica_has_heard_is_not_explained(
    platform: FakePlatform, inject: Callable[..., Injector]
) -> None:
    injector = inject(CRASH)
    until(injector, 1.0, lambda: platform.ids("gateway-0") == ["crash_at-1"])
    until(injector, LOAD_S, lambda: platform.ids("gateway-0") == [] and not injector.pending())
    assert not injector.explains(die(platform, "gateway-0", -signal.SIGKILL), LOAD_S + 60)


def test_a_fault_whose_confirmation_was_lost_is_taken_back(
    platform: FakePlatform, inject: Callable[..., Injector]
) -> None:
    platform.forgets_to_answer = True
    injector = inject(LATENCY)
    until(injector, 1.0, lambda: platform.ids("payment-0") == ["slow"])
    injector.finish(1.0)
    platform.forgets_to_answer = False
    until(injector, 2.0, lambda: platform.ids("payment-0") == [])


def test_finish_ends_everything_at_once(platform: FakePlatform, inject: Callable[..., Injector]) -> None:
    injector = inject(KILL, PAUSE, LATENCY)
    until(injector, 1.0, lambda: platform.ids("payment-1") == ["slow"])
    injector.finish(1.5)
    until(injector, 1.5, lambda: platform.ids("payment-1") == [] and injector.pending() == [])
    assert set(platform.done) == {"kill order-1", "restart order-1", "pause payment-0", "end pause of payment-0"}
    table = frame("faults", injector.close())
    assert table.ended_s.tolist() == [1.5, 1.5, 1.5]


def test_killing_a_dead_replica_is_told_in_the_record(platform: FakePlatform, inject: Callable[..., Injector]) -> None:
    platform.children["order-1"].state = "dead"
    injector = inject(KILL)
    injector.step(1.0)
    (row,) = injector.close()
    assert row["hits"] == 0
    assert "dead already" in row["detail"]
