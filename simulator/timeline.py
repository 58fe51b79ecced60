"""Carries the planned faults out in their time, and writes down what really happened."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from simulator.faults import ActiveFault, ArmedCrash, CrashPoints, LinkFaults
from simulator.hosts import Process
from simulator.inputs import Fault
from simulator.kernel import Kernel
from simulator.replica import Replica

LINK_KINDS = frozenset({"latency", "error", "drop_reply", "loss", "duplicate", "reorder"})
SWITCH_KINDS = frozenset({"pause", "slow_disk", "clock_skew"})
FAULT_KINDS = LINK_KINDS | SWITCH_KINDS | {"kill", "crash_at"}
MACHINE_KINDS = frozenset({"throttle", "partition", "outage"})
"""What is done to containers, their network, and the servers behind them."""
ALL_KINDS = FAULT_KINDS | MACHINE_KINDS


@dataclass
class FaultRecord:
    """What became of one planned fault; NaN: it never started, or never ended."""

    fault: Fault
    target: str
    started_s: float = float("nan")
    ended_s: float = float("nan")
    hits: int = 0
    detail: str = ""


def target_of(fault: Fault) -> str:
    """What it hits, for people."""
    parameters = fault.parameters
    if fault.kind == "outage":
        return str(parameters["of"])
    if fault.kind not in LINK_KINDS:
        return f"{parameters['service']}-{parameters.get('replica') or 0}"
    if parameters.get("service"):
        return f"{parameters['service']} {parameters.get('route', '')}"
    path = parameters.get("path")
    return f"{parameters.get('from')} -> {parameters['to']}" + (f" {path}" if path else "")


class LifeCycle(Protocol):
    """How processes and what they lean on are taken away and brought back; `simulator.plant` supplies it."""

    def kill(self, process: Process) -> None:
        """SIGKILL."""
        ...

    def restart(self, process: Process) -> None:
        """Start it again."""
        ...

    def pause(self, process: Process) -> None:
        """SIGSTOP."""
        ...

    def resume(self, process: Process) -> None:
        """SIGCONT."""
        ...

    def cut_off(self, process: Process, off: bool) -> None:
        """Off the network, or back on it."""
        ...

    def database_away(self, away: bool) -> None:
        """The database server is killed, or back."""
        ...

    def broker_away(self, away: bool) -> None:
        """The event broker is killed, or back."""
        ...


class Timeline:
    """Faults on the agenda, and what became of them."""

    def __init__(
        self,
        kernel: Kernel,
        links: LinkFaults,
        crash_points: CrashPoints,
        replicas: dict[str, Replica],
        life: LifeCycle,
    ) -> None:
        self._kernel, self._links, self._crash_points = kernel, links, crash_points
        self._replicas, self._life = replicas, life
        self.records: list[FaultRecord] = []
        self._own_quotas: dict[str, float | None] = {}
        self._counters: list[tuple[FaultRecord, list[ActiveFault]]] = []

    def schedule(self, faults: tuple[Fault, ...], load_s: float) -> None:
        """Put all faults on the agenda. Raises ValueError for a kind this model does not know."""
        for fault in faults:
            if fault.kind not in ALL_KINDS:
                raise ValueError(f"unknown fault {fault.kind!r}; known: {', '.join(sorted(ALL_KINDS))}")
            record = FaultRecord(fault, target_of(fault))
            self.records.append(record)
            if fault.kind in LINK_KINDS:
                self._schedule_link(record)
            elif fault.kind == "outage":
                self._schedule_switch(record, None)
            elif fault.kind in SWITCH_KINDS | MACHINE_KINDS:
                self._schedule_switch(record, self._replicas[record.target].process)
            elif fault.kind == "kill":
                self._kernel.at(fault.at_s, partial(self._kill, record, self._replicas[record.target]))
            else:
                self._schedule_crash(record, load_s)

    def _schedule_link(self, record: FaultRecord) -> None:
        fault = record.fault
        active: list[ActiveFault] = []

        def begin() -> None:
            active.append(self._links.add(fault))
            record.started_s = self._kernel.now

        def end() -> None:
            self._links.remove(active[0])
            record.ended_s = self._kernel.now

        self._kernel.at(fault.at_s, begin)
        self._kernel.at(fault.until_s, end)
        self._counters.append((record, active))

    def _schedule_switch(self, record: FaultRecord, process: Process | None) -> None:
        def begin() -> None:
            record.started_s, record.hits = self._kernel.now, 1
            self._switch_any(record.fault, process, on=True)

        def end() -> None:
            record.ended_s = self._kernel.now
            self._switch_any(record.fault, process, on=False)

        self._kernel.at(record.fault.at_s, begin)
        self._kernel.at(record.fault.until_s, end)

    def _switch_any(self, fault: Fault, process: Process | None, on: bool) -> None:
        if process is not None:
            self._switch(fault, process, on)
        elif fault.parameters["of"] == "mariadb":
            self._life.database_away(on)
        else:
            self._life.broker_away(on)

    def _switch(self, fault: Fault, process: Process, on: bool) -> None:
        sign = 1 if on else -1
        if fault.kind == "slow_disk":
            process.disk_delay_s = max(0.0, process.disk_delay_s + sign * float(fault.parameters["delay_ms"]) / 1000)
        elif fault.kind == "clock_skew":
            process.clock_skew_s += sign * float(fault.parameters["offset_ms"]) / 1000
        elif fault.kind == "partition":
            self._life.cut_off(process, on)
        elif fault.kind == "throttle":
            self._throttle(fault, process, on)
        elif on:
            self._life.pause(process)
        else:
            self._life.resume(process)

    def _throttle(self, fault: Fault, process: Process, on: bool) -> None:
        if on:
            self._own_quotas[fault.id] = process.quota
            process.quota = float(fault.parameters["cpus"])
        else:
            process.quota = self._own_quotas.pop(fault.id)

    def _schedule_crash(self, record: FaultRecord, load_s: float) -> None:
        crash = ArmedCrash(record.fault, lambda replica: self._kill(record, replica))

        def disarm() -> None:
            if self._crash_points.disarm(crash):
                record.detail = f"{record.fault.parameters['point']} never reached"
                record.ended_s = self._kernel.now

        self._kernel.at(record.fault.at_s, self._crash_points.arm, crash)
        at_s, armed_s = record.fault.at_s, record.fault.parameters.get("for_s")
        self._kernel.at(max(load_s, at_s) if armed_s is None else at_s + armed_s, disarm)

    def _kill(self, record: FaultRecord, replica: Replica) -> None:
        process = replica.process
        if not process.running:
            record.detail = "was already dead"
            return
        record.started_s, record.hits = self._kernel.now, record.hits + 1
        self._life.kill(process)
        restart_after_s = record.fault.parameters.get("restart_after_s")
        if restart_after_s is not None:
            self._kernel.after(float(restart_after_s), partial(self._restart, record, process))

    def _restart(self, record: FaultRecord, process: Process) -> None:
        # The time it needs to become ready again counts as recovery.
        record.ended_s = self._kernel.now
        self._life.restart(process)

    def finish(self) -> None:
        """Take the counts of the link faults."""
        for record, active in self._counters:
            record.hits = sum(each.hits for each in active)
