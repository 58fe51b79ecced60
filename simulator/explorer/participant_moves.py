"""What may happen to one participant and to its letters: deliveries, losses, copies, timers, answers, crashes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from settlement.protocol.events import Event, TimerFired
from settlement.protocol.messages import AskOutcome, Outcome
from settlement.protocol.records import Decision, ParticipantPhase, Vote
from simulator.explorer import gateway, participants
from simulator.explorer.participants import Node, Outside, Stage
from simulator.explorer.parts import (
    COPIED,
    CRASH,
    DUPLICATE,
    FREE,
    LOSS,
    NOBODY,
    Bounds,
    Letter,
    Step,
    posted,
    sort_key,
    without,
)
from simulator.explorer.properties import AGREEMENT, DAMAGE, HEURISTIC, ORPHAN_INQUIRY, RECOVERY, problem
from simulator.explorer.states import Core, Slice

Move = tuple[int, Step, Core, Slice]
"""What it costs (FREE: no fault), what it is, and what it leads to."""

OUTCOMES = {ParticipantPhase.COMMITTED: Decision.COMMIT, ParticipantPhase.ABORTED: Decision.ABORT}
CRASHES = "crashes and restarts"


class ParticipantMoves:
    """Works moves out; remembers what the shipped code answered."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds, self._protocol = bounds, bounds.shipped
        self._released = Outside.NOTHING if bounds.forgetful_channel else Outside.RELEASED
        self._stages: dict[tuple[Node, Event, int], tuple[Stage, ...]] = {}

    def of(self, core: Core, own: Slice) -> Iterator[Move]:
        """All moves of one participant in one state of the rest."""
        for letter in dict.fromkeys(own.mail):
            rest = replace(own, mail=without(own.mail, letter))
            yield LOSS, Step("lose", letter.replica, True, "is lost", letter.name, letter.to_participant), core, rest
            if letter.to_participant:
                yield from self._delivered(core, rest, letter)
            elif isinstance(letter.message, AskOutcome):
                yield from self._inquired(core, rest, letter)
        yield from self._answered(core, own)
        yield from self._timers(core, own)
        crashed = Step("crash", NOBODY, True, CRASHES, marks=_recovers(own.node))
        yield CRASH, crashed, core, replace(own, node=participants.restarted(self._protocol, own.node))

    def _delivered(self, core: Core, rest: Slice, letter: Letter) -> Iterator[Move]:
        stages = self._taken(rest.node, participants.event_of(letter), letter.replica)
        step = Step("deliver", letter.replica, True, "", letter.name, True, fair=f"{letter.name} from {letter.replica}")
        yield from self._outcomes(core, rest, stages, step)
        copied = replace(step, kind="duplicate", text=COPIED)
        for cost, each, new_core, new in self._outcomes(core, rest, stages, copied):
            yield cost + DUPLICATE, each, new_core, replace(new, mail=_kept(new.mail, letter))

    def _answered(self, core: Core, own: Slice) -> Iterator[Move]:
        """The reservation in progress ends, in one way or another."""
        if own.node.owed is None:
            return
        for cost, text, node, event in participants.answers(own.node, self._bounds):
            stages = self._taken(node, event, own.node.owed)
            judged = replace(core, excused=core.excused or event.vote is Vote.NO)
            step = Step("answer", NOBODY, True, text, fair="answer")
            for more, each, new_core, new in self._outcomes(judged, own, stages, step):
                yield cost + more, each, new_core, new

    def _timers(self, core: Core, own: Slice) -> Iterator[Move]:
        for name in sorted(own.node.timers):
            node = replace(own.node, timers=own.node.timers - {name})
            step = Step("timer", NOBODY, True, f"its {name} timer fires", fair=f"{name} timer")
            yield from self._outcomes(core, own, self._taken(node, TimerFired(name), NOBODY), step)

    def _taken(self, node: Node, event: Event, asker: int) -> tuple[Stage, ...]:
        stages = self._stages.get((node, event, asker))
        if stages is None:
            stages = self._stages[node, event, asker] = participants.take(
                self._protocol, node, event, asker, self._released
            )
        return stages

    def _inquired(self, core: Core, rest: Slice, letter: Letter) -> Iterator[Move]:
        """A participant's inquiry is answered by any replica, from the row."""
        decision = gateway.outcome(self._protocol, core.row)
        reply = () if decision is None else (Letter(NOBODY, Outcome(letter.message.gid, decision)),)
        note = "it is not decided yet" if decision is None else f"the answer is {decision}"
        marks = frozenset((ORPHAN_INQUIRY.name,))
        step = Step("deliver", NOBODY, True, "", letter.name, False, (note,), marks, letter.name)
        answered = replace(rest, mail=posted(rest.mail, reply))
        yield FREE, step, core, answered
        copied = replace(step, kind="duplicate", text=COPIED)
        yield DUPLICATE, copied, core, replace(answered, mail=_kept(answered.mail, letter))

    def _outcomes(self, core: Core, rest: Slice, stages: tuple[Stage, ...], step: Step) -> Iterator[Move]:
        """The whole step, and what a crash after each of its effects but the last would leave."""
        last = stages[-1]
        if last.refused is not None and core.overruled:
            # It can neither do what an operator wants nor say so: no acknowledgement, and the order is repeated.
            yield FREE, replace(step, notes=("refuses: that is impossible here",)), core, rest
            return
        done = replace(rest, node=last.node, mail=posted(rest.mail, last.letters))
        yield (
            FREE,
            replace(step, notes=_notes(last), marks=step.marks | _damages(core, last)),
            _judged(core, last),
            done,
        )
        for stage in stages[:-1]:
            died = replace(step, notes=(*_notes(stage), CRASHES), marks=step.marks | _recovers(stage.node))
            node = participants.restarted(self._protocol, stage.node)
            yield CRASH, died, _judged(core, stage), replace(rest, node=node, mail=posted(rest.mail, stage.letters))


def _judged(core: Core, stage: Stage) -> Core:
    """The core once a participant's stage is reached: its outcome held against everybody else's."""
    problems = core.problems + stage.problems
    if stage.refused is not None:
        problems = (*problems, stage.refused)
    outcome = _outcome(stage)
    if outcome is None:
        return replace(core, problems=problems)
    others = _others(core, outcome)
    if others and not (core.overruled and core.is_marked):
        done = (
            f"a participant has durably done {outcome}, and {'/'.join(sorted(map(str, others)))} is durable elsewhere"
        )
        if core.overruled:
            problems = (*problems, problem(HEURISTIC, f"{done}: an operator's doing, which is not on record"))
        else:
            problems = (*problems, problem(AGREEMENT, done))
    return replace(core, applied=core.applied | {outcome}, problems=problems)


def _outcome(stage: Stage) -> Decision | None:
    record = stage.node.record
    return OUTCOMES.get(record.phase) if record is not None else None


def _others(core: Core, outcome: Decision) -> frozenset[Decision | None]:
    """The durable outcomes that are not this one."""
    decided = core.row.decision if core.row is not None else None
    return (core.applied | {decided}) - {outcome, None}


def _damages(core: Core, stage: Stage) -> frozenset[str]:
    outcome = _outcome(stage)
    if core.overruled and outcome is not None and _others(core, outcome):
        return frozenset((DAMAGE.name,))
    return frozenset()


def _kept(mail: tuple[Letter, ...], letter: Letter) -> tuple[Letter, ...]:
    return tuple(sorted((*mail, letter), key=sort_key))


def _notes(stage: Stage) -> tuple[str, ...]:
    return (*stage.notes, *(f"sends {each.name}" for each in stage.letters))


def _recovers(node: Node) -> frozenset[str]:
    return frozenset((RECOVERY.name,)) if node.in_doubt else frozenset()
