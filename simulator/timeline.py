"""Carries the planned faults out in their time, and writes down what really happened."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from simulator.faults import ActiveFault, ArmedCrash, CrashPoints, LinkFaults
from simulator.hosts import Process, Replica
from simulator.inputs import Fault
from simulator.kernel import Kernel

LINK_KINDS = frozenset({"latency", "error", "drop_reply", "loss", "duplicate", "reorder"})
SWITCH_KINDS = frozenset({"pause", "slow_disk", "clock_skew"})
FAULT_KINDS = LINK_KINDS | SWITCH_KINDS | {"kill", "crash_at"}


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
    if fault.kind not in LINK_KINDS:
        return f"{parameters['service']}-{parameters.get('replica') or 0}"
    if parameters.get("service"):
        return f"{parameters['service']} {parameters.get('route', '')}"
    path = parameters.get("path")
    return f"{parameters.get('from')} -> {parameters['to']}" + (f" {path}" if path else "")


class Timeline:
    """Faults on the agenda, and what became of them."""

    def __init__(
        self,
        kernel: Kernel,
        links: LinkFaults,
        crash_points: CrashPoints,
        replicas: dict[str, Replica],
        life: "LifeCycle",
    ) -> None:
        self._kernel, self._links, self._crash_points = kernel, links, crash_points
        self._replicas, self._life = replicas, life
        self.records: list[FaultRecord] = []
        self._counters: list[tuple[FaultRecord, list[ActiveFault]]] = []

    def schedule(self, faults: tuple[Fault, ...], load_s: float) -> None:
        """Put all faults on the agenda. Raises ValueError for a kind this model does not know."""
        for fault in faults:
            if fault.kind not in FAULT_KINDS:
                raise ValueError(f"unknown fault {fault.kind!r}; known: {', '.join(sorted(FAULT_KINDS))}")
            record = FaultRecord(fault, target_of(fault))
            self.records.append(record)
            if fault.kind in LINK_KINDS:
                self._schedule_link(record)
            elif fault.kind in SWITCH_KINDS:
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
            record.started_s = self._kernel.now_s

        def end() -> None:
            self._links.remove(active[0])
            record.ended_s = self._kernel.now_s

        self._kernel.at(fault.at_s, begin)
        self._kernel.at(fault.until_s, end)
        self._counters.append((record, active))

    def _schedule_switch(self, record: FaultRecord, process: Process) -> None:
        def begin() -> None:
            record.started_s, record.hits = self._kernel.now_s, 1
            self._switch(record.fault, process, on=True)

        def end() -> None:
            record.ended_s = self._kernel.now_s
            self._switch(record.fault, process, on=False)

        self._kernel.at(record.fault.at_s, begin)
        self._kernel.at(record.fault.until_s, end)

    def _switch(self, fault: Fault, process: Process, on: bool) -> None:
        sign = 1 if on else -1
        if fault.kind == "slow_disk":
            process.disk_delay_s = max(0.0, process.disk_delay_s + sign * float(fault.parameters["delay_ms"]) / 1000)
        elif fault.kind == "clock_skew":
            process.clock_skew_s += sign * float(fault.parameters["offset_ms"]) / 1000
        elif on:
            self._life.pause(process)
        else:
            self._life.resume(process)

    def _schedule_crash(self, record: FaultRecord, load_s: float) -> None:
        crash = ArmedCrash(record.fault, lambda replica: self._kill(record, replica))

        def disarm() -> None:
            if crash in self._crash_points.armed:
                self._crash_points.armed.remove(crash)
                record.detail = f"{record.fault.parameters['point']} never reached"
                record.ended_s = self._kernel.now_s

        self._kernel.at(record.fault.at_s, lambda: self._crash_points.armed.append(crash))
        at_s, armed_s = record.fault.at_s, record.fault.parameters.get("for_s")
        self._kernel.at(max(load_s, at_s) if armed_s is None else at_s + armed_s, disarm)

    def _kill(self, record: FaultRecord, replica: Replica) -> None:
        process = replica.process
        if not process.running:
            record.detail = "was already dead"
            return
        record.started_s, record.hits = self._kernel.now_s, record.hits + 1
        self._life.kill(process)
        restart_after_s = record.fault.parameters.get("restart_after_s")
        if restart_after_s is not None:
            self._kernel.after(float(restart_after_s), partial(self._restart, record, process))

    def _restart(self, record: FaultRecord, process: Process) -> None:
        # The time it needs to become ready again counts as recovery.
        record.ended_s = self._kernel.now_s
        self._life.restart(process)

    def finish(self) -> None:
        """Take the counts of the link faults."""
        for record, active in self._counters:
            record.hits = sum(each.hits for each in active)


class LifeCycle:
    """How processes are killed, paused and brought back; the composition root supplies it."""

    def __init__(
        self,
        kill: Callable[[Process], None],
        restart: Callable[[Process], None],
        pause: Callable[[Process], None],
        resume: Callable[[Process], None],
    ) -> None:
        self.kill, self.restart, self.pause, self.resume = kill, restart, pause, resume
