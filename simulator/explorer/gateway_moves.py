"""What may happen to the gateway: a replica begins, hears answers and timers, crashes; another one claims the row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from settlement.protocol.effects import RETRY_TIMER
from settlement.protocol.events import Event, Recovered, TimerFired
from settlement.protocol.records import CoordinatorPhase, Decision
from simulator.explorer import gateway, operators
from simulator.explorer.gateway import Drive, Moment, View
from simulator.explorer.parts import (
    COPIED,
    CRASH,
    DELAY,
    DUPLICATE,
    EXHAUSTION,
    FREE,
    PAUSE,
    Bounds,
    Letter,
    Step,
)
from simulator.explorer.properties import ABORT, COMMIT, EXHAUSTED, RECOVERY, TAKE_OVER
from simulator.explorer.states import Core, Face, Tidier


@dataclass(frozen=True, slots=True)
class Change:
    """What a step of the gateway does to one slice.

    `opened`: the letter that arrived. `counts`: a replica, and whether it has counted this one's vote and
    acknowledgement.
    """

    drives: tuple[Drive, ...]
    opened: Letter | None = None
    sent: tuple[Letter, ...] = ()
    counts: tuple[int, bool, bool] | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What it costs (FREE: no fault), what it is, whom it is about, and what it leads to."""

    cost: int
    step: Step
    position: int
    core: Core
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class _Scene:
    """One replica about to do something, and who is concerned. `awaits`: something is still on its way to it."""

    core: Core
    drive: Drive
    view: View
    awaits: bool = False
    position: int = 0
    opened: Letter | None = None


class GatewayMoves:
    """Works moves out."""

    def __init__(self, bounds: Bounds, tidier: Tidier) -> None:
        self._bounds, self._tidier, self._protocol = bounds, tidier, bounds.shipped
        self._names = gateway.names(bounds)

    def of(self, core: Core, faces: list[Face]) -> Iterator[Move]:
        """All moves of the gateway, as far as they depend on the core and on these sides of the slices."""
        view = View(tuple(face.promised for face in faces), core.applied, core.excused, core.told)
        for drive in core.drives:
            awaits = any(drive.replica in face.awaited for face in faces)
            scene = _Scene(core, self._whole(drive, faces), view, awaits)
            yield from self._driven(scene)
            if drive.found is None:
                for position, face in enumerate(faces):
                    for letter in dict.fromkeys(face.letters):
                        if letter.replica == drive.replica:
                            yield from self._opened(replace(scene, position=position, opened=letter), letter)
            gone = Moment(core.row, None, core.told)
            yield self._moved(scene, gone, Step("crash", drive.replica, False, "crashes"), CRASH)
        yield from self._claims(core)
        yield from self._ordered(core)

    def _whole(self, drive: Drive, faces: list[Face]) -> Drive:
        """The drive with what it has counted, which the slices keep."""
        counted = list(zip(self._names, faces, strict=True))
        votes = frozenset(name for name, face in counted if drive.replica in face.voted)
        acks = frozenset(name for name, face in counted if drive.replica in face.acked)
        return replace(drive, state=replace(drive.state, yes_votes=votes, acked=acks))

    def _driven(self, scene: _Scene) -> Iterator[Move]:
        """What a replica does by itself: begin, go on from what it has claimed, hear a timer."""
        drive, replica = scene.drive, scene.drive.replica
        if drive.found is not None:
            step = Step("resume", replica, False, "works on what it has claimed", fair=f"resume {replica}")
            yield from self._taken(scene, Recovered(drive.found), step)
        elif drive.state.phase is CoordinatorPhase.INITIAL:
            step = Step("begin", replica, False, "begins", fair="begin")
            yield from self._taken(scene, gateway.beginning(self._bounds), step)
        for name in sorted(drive.timers):
            rung = replace(scene, drive=replace(drive, timers=drive.timers - {name}))
            yield from self._timed(rung, name, Step("timer", replica, False, f"its {name} timer fires"))

    def _timed(self, scene: _Scene, name: str, step: Step) -> Iterator[Move]:
        """A timer fires: in time or, where that counts, while something is still on its way; and for the last time."""
        cost, fired = FREE, TimerFired(name)
        if scene.awaits:  # never so where delays are not counted
            cost, step = DELAY, replace(step, text=f"{step.text}, though what it waits for is on its way")
        step = replace(step, fair=f"{name} timer {scene.drive.replica}")
        for move in self._taken(scene, fired, step):
            yield replace(move, cost=move.cost + cost)
        if self._bounds.exhaustions and name == RETRY_TIMER:
            last = replace(step, text=f"{step.text}: it was the last try")
            for move in self._taken(replace(scene, drive=gateway.last_try(scene.drive)), fired, last):
                if move.core.row is not None and move.core.row.phase is CoordinatorPhase.EXHAUSTED:
                    marked = replace(move.step, marks=move.step.marks | {EXHAUSTED.name})
                    yield replace(move, cost=move.cost + cost + EXHAUSTION, step=marked)

    def _opened(self, scene: _Scene, letter: Letter) -> Iterator[Move]:
        """An answer arrives at the replica that waits for it."""
        event = gateway.event_of(self._names[scene.position], letter.message)
        step = Step("deliver", letter.replica, True, "", letter.name, fair=f"{letter.name} to {letter.replica}")
        yield from self._taken(scene, event, step)
        for move in self._taken(replace(scene, opened=None), event, replace(step, kind="duplicate", text=COPIED)):
            yield replace(move, cost=move.cost + DUPLICATE)

    def _taken(self, scene: _Scene, event: Event, step: Step) -> Iterator[Move]:
        """The whole step, and what a crash in the middle of it would leave."""
        row = scene.core.row
        moments = gateway.take(self._protocol, row, scene.drive, event, scene.view)
        last = moments[-1]
        yield self._moved(scene, last, replace(step, notes=last.notes, marks=_decides(row, last)), FREE)
        for left in gateway.crashes(moments):
            if not left.problems:  # the whole step has them too
                sent = f" with {len(left.sent)} of its messages sent" if left.sent else ""
                notes = (*left.notes, f"crashes{sent}")
                yield self._moved(scene, left, replace(step, notes=notes, marks=_decides(row, left)), CRASH)

    def _moved(self, scene: _Scene, moment: Moment, step: Step, cost: int) -> Move:
        core, replica, after = scene.core, scene.drive.replica, moment.drive
        others = tuple(each for each in core.drives if each.replica != replica)
        drives = self._tidier.drives(moment.row, others if after is None else (*others, _without_counts(after)))
        new_core = replace(
            core,
            row=moment.row,
            drives=drives,
            told=moment.told,
            excused=core.excused or step.kind == "timer",
            problems=core.problems + moment.problems,
        )
        changes = []
        for index, name in enumerate(self._names):
            sent = tuple(Letter(replica, message) for to, message in moment.sent if to == index)
            counted = None if after is None else (replica, name in after.state.yes_votes, name in after.state.acked)
            changes.append(Change(drives, scene.opened if index == scene.position else None, sent, counted))
        return Move(cost, step, scene.position, new_core, tuple(changes))

    def _idle(self, core: Core) -> list[int]:
        """All idle replicas are alike: the first of them stands for all."""
        busy = {drive.replica for drive in core.drives}
        return [replica for replica in range(self._bounds.replicas) if replica not in busy][:1]

    def _ordered(self, core: Core) -> Iterator[Move]:
        """An operator asks an idle replica. (One at work would only leave one more drive behind that is fenced.)"""
        for replica in self._idle(core):
            for order in operators.orders(core, replica, self._bounds):
                drives = self._tidier.drives(order.core.row, order.core.drives)
                changes = (Change(drives),) * self._bounds.participants
                yield Move(order.cost, order.step, 0, replace(order.core, drives=drives), changes)

    def _claims(self, core: Core) -> Iterator[Move]:
        """An idle replica claims the row."""
        busy, idle = {drive.replica for drive in core.drives}, self._idle(core)
        if core.row is None or core.row.phase not in gateway.UNFINISHED or not idle:
            return
        row, drive = gateway.claimed(core.row, idle[0])
        marks = ({TAKE_OVER.name} if self._bounds.replicas > 1 else set()) | ({RECOVERY.name} if not busy else set())
        text = "claims it: the lease ran out, although its owner lives" if busy else "claims what nobody drives"
        note = f"durable: epoch {row.epoch}"
        step = Step("claim", drive.replica, False, text, notes=(note,), marks=frozenset(marks), fair="claim")
        drives = self._tidier.drives(row, (*core.drives, drive))
        new_core = replace(core, row=row, drives=drives, excused=True)
        yield Move(PAUSE if busy else FREE, step, 0, new_core, (Change(drives),) * self._bounds.participants)


def _decides(row: object, moment: Moment) -> frozenset[str]:
    before = getattr(row, "decision", None)
    decision = moment.row.decision if moment.row is not None else None
    if decision is None or decision is before:
        return frozenset()
    return frozenset((COMMIT.name if decision is Decision.COMMIT else ABORT.name,))


def _without_counts(drive: Drive) -> Drive:
    return replace(drive, state=replace(drive.state, yes_votes=frozenset(), acked=frozenset()))
