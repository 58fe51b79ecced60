"""The fault timeline: starts every planned fault at its time, ends it, and keeps a record of what really happened.

Before a fault is made, a line that says how to undo it is on the disk (`faults.undo.jsonl`): whoever finds the run
folder of a lab that was killed can tell what was left behind. Faults of processes are signals; faults of links and
routes, and crash points, are lists kept by the replicas themselves (see `switchboard`).

The recorded start of a crash is the death, not the arming; the end of a kill or a crash is the restart, so that the
time a process needs to become ready again counts as recovery.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scenarios.worlds.real import Death, Hurtable, now_ms
from scenarios.worlds.switchboard import Switchboard

if TYPE_CHECKING:
    from scenarios.plan import PlannedFault
    from scenarios.worlds.base import Progress

# What signals and the replicas' own fault endpoints can make; containers can do more (see `compose`).
FAULT_KINDS = frozenset({"kill", "pause", "crash_at", "latency", "error", "drop_reply"})
DEADLY = ("kill", "outage")
IMPAIRING = ("pause", "throttle", "partition")
UNDO_FILE = "faults.undo.jsonl"
NAN = float("nan")
NOTICED_S = 3.0  # how much later than a death, at most, somebody sees it

State = Literal["waiting", "active", "down", "over"]


@dataclass
class UndoLog:
    """Lines on the disk: what is about to be done and how to undo it, and that it was undone."""

    path: Path

    def write(self, fault: str, event: Literal["intended", "undone"], undo: str) -> None:
        """Append one line and wait until it is durable."""
        line = json.dumps({"fault": fault, "event": event, "undo": undo, "at_ms": now_ms()})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


@dataclass
class Course:
    """What became of one planned fault. waiting -> active (-> down, until the restart) -> over. Times in seconds.

    A crash is `active` while it is armed, and has no start if its point is never reached.
    """

    plan: PlannedFault
    state: State = "waiting"
    armed_s: float = NAN
    started_s: float = NAN
    ended_s: float = NAN
    hits: int = 0
    detail: str = ""

    @property
    def on_process(self) -> bool:
        """A fault of one process, not of a link or a route: its target is a replica or a backing service."""
        return self.plan.kind in (*DEADLY, *IMPAIRING, "crash_at")

    def row(self) -> dict[str, Any]:
        """A row of the `faults` table."""
        return {
            "id": self.plan.id, "kind": self.plan.kind, "target": self.plan.target, "planned_s": self.plan.at_s,
            "started_s": self.started_s, "ended_s": self.ended_s, "hits": self.hits, "detail": self.detail,
        }  # fmt: skip


class Injector:
    """Makes the planned faults. `step` is called often; all times are seconds from the run's start."""

    def __init__(
        self,
        faults: Sequence[PlannedFault],
        seed: int,
        target: Hurtable,
        folder: Path,
        load_s: float,
        progress: Progress,
    ) -> None:
        self.courses = [Course(fault) for fault in faults]
        self._seed = seed
        self._target = target
        self._load_s = load_s
        self._progress = progress
        self._undo = UndoLog(folder / UNDO_FILE)
        self._board = Switchboard(target)

    def step(self, at_s: float) -> None:
        """Start and end what is due, and keep the replicas' lists as wanted."""
        for course in self.courses:
            if course.state == "waiting" and at_s >= course.plan.at_s:
                self._start(course, at_s)
            elif course.state in ("active", "down") and at_s >= self._due_end_s(course):
                self._end(course, at_s)
        self._board.step(at_s)

    def explains(self, death: Death, at_s: float) -> bool:
        """Whether a fault asked for this death: a crash point was armed there. Notes the hit and plans the restart."""
        crashes = [course for course in self.courses if self._may_crash(course, at_s)]
        for course in sorted(crashes, key=lambda each: each.state != "active"):
            if death.status == -signal.SIGKILL and course.plan.target in death.replicas:
                self._note_hit(course, at_s)
                return True
        return False

    def finish(self, at_s: float) -> None:
        """End everything that is still going on, whatever its time; restarts what is down."""
        for course in self.courses:
            if course.state in ("active", "down"):
                self._end(course, at_s)

    def pending(self) -> list[str]:
        """Replicas that could not be told to drop their faults yet, with the reason."""
        return self._board.pending()

    def close(self) -> list[dict[str, Any]]:
        """The rows of the `faults` table, once nothing is active any more."""
        self._board.close()
        for course in self.courses:
            if not course.on_process:
                course.hits = self._board.hits(course.plan.id)
        return [course.row() for course in self.courses]

    def _may_crash(self, course: Course, at_s: float) -> bool:
        """Whether its crash point may be armed. Disarming takes a call, and a busy replica answers when it can."""
        if course.plan.kind != "crash_at" or course.hits:
            return False
        disarming = self._board.may_have(course.plan.target, course.plan.id) or at_s - course.ended_s < NOTICED_S
        return course.state == "active" or (course.state == "over" and disarming)

    def _note_hit(self, course: Course, at_s: float) -> None:
        course.detail = f"armed at {course.armed_s:.3f} s, {course.plan.parameters['point']} at {at_s:.3f} s"
        course.state, course.started_s, course.ended_s, course.hits = "down", at_s, NAN, 1
        self._board.unwant(course.plan.id)
        self._progress.fault(course.plan.id, "hit", at_s)

    def _due_end_s(self, course: Course) -> float:
        if course.plan.kind in DEADLY or course.state == "down":
            return course.started_s + float(course.plan.parameters["restart_after_s"])
        if course.plan.kind == "crash_at":
            armed_s = course.plan.parameters.get("for_s")
            return self._load_s if armed_s is None else course.plan.at_s + float(armed_s)
        return course.plan.until_s

    def _start(self, course: Course, at_s: float) -> None:
        self._undo.write(course.plan.id, "intended", self._how_to_undo(course))
        course.state, course.armed_s, course.started_s = "active", at_s, at_s
        if course.plan.kind in DEADLY:
            self._kill(course)
        elif course.plan.kind in IMPAIRING:
            self._target.impair(course.plan.target, course.plan.kind, course.plan.parameters)
            course.hits = 1
        else:
            for replica in self._carriers(course):
                self._board.want(replica, fault_body(course.plan, self._seed, replica))
        self._progress.fault(course.plan.id, "armed" if course.plan.kind == "crash_at" else "started", at_s)

    def _kill(self, course: Course) -> None:
        course.state = "down"
        if self._target.is_dead(course.plan.target):
            course.detail = f"{course.plan.target} was dead already"
            return
        self._target.kill(course.plan.target)
        course.hits = 1

    def _end(self, course: Course, at_s: float) -> None:
        event = "ended"
        if course.state == "down":
            event = "restarted"
            if self._target.is_dead(course.plan.target):
                self._target.restart(course.plan.target)
        elif course.plan.kind in IMPAIRING:
            self._target.relieve(course.plan.target, course.plan.kind)
        else:
            self._board.unwant(course.plan.id)
        if course.plan.kind == "crash_at" and course.hits == 0:
            course.detail = f"armed at {course.armed_s:.3f} s, {course.plan.parameters['point']} never reached"
            course.started_s = NAN
        course.state, course.ended_s = "over", at_s
        self._undo.write(course.plan.id, "undone", self._how_to_undo(course))
        self._progress.fault(course.plan.id, event, at_s)

    def _carriers(self, course: Course) -> list[str]:
        where = course.plan.parameters
        return (
            [course.plan.target] if course.on_process else self._target.names_of(where.get("from") or where["service"])
        )

    def _how_to_undo(self, course: Course) -> str:
        if course.plan.kind in IMPAIRING:
            return f"end the {course.plan.kind} of {course.plan.target}, {self._target.whereabouts(course.plan.target)}"
        if course.plan.kind in DEADLY:
            return f"restart {course.plan.target}"
        return f"clear the faults of {', '.join(self._carriers(course))}"


def fault_body(fault: PlannedFault, seed: int, replica: str) -> dict[str, Any]:
    """The fault as a replica's fault endpoint wants it: `to` and `path`, or `route`, or the crash point.

    Faults of a share are told whose luck they have: the run's, and that of the replica by its name in the lab, which
    is the same in every world. (A container calls itself by a name that no two runs share.)
    """
    mine = ("from", "service", "replica", "restart_after_s", "for_s")
    luck = {} if fault.kind == "crash_at" else {"seed": seed, "replica": replica}
    parameters = {name: value for name, value in fault.parameters.items() if name not in mine}
    return {"id": fault.id, "kind": fault.kind, **parameters, **luck}
