"""The participants of the article's protocol: who copies the gateway's result, and who takes the money.

Both keep the barrier record of `participant`, whose table this is with a few other entries. The one who pre-commits
(the order) copies whatever it is told last: paid becomes unpaid again when the gateway has changed its mind. The one
who takes the money does it the moment it is told to, and for good; where it cannot know whether it did, it says no
and leaves things as they are. Nobody undoes it.
"""

from __future__ import annotations

from dataclasses import replace

from settlement.protocol import participant
from settlement.protocol.effects import Collect, Effect, Persist, Reply, Revoke
from settlement.protocol.events import ChargeRequested, Collected, DecisionReceived, Event
from settlement.protocol.messages import Acknowledge, Voted
from settlement.protocol.participant import ROLE, ParticipantState
from settlement.protocol.records import Decision, ParticipantPhase, Vote
from settlement.protocol.transitions import Outcome, Table, Transition, step

Phase = ParticipantPhase
Step = tuple[ParticipantState, tuple[Effect, ...]]


def handle(state: ParticipantState, event: Event) -> Step:
    """Advance one payment.

    Raises:
        ProtocolError: the event is impossible in this phase.
    """
    return step(ROLE, TRANSITIONS, state, event)


# ---- rules ----------------------------------------------------------------------------------------------------------


def _collect(state: ParticipantState, _event: ChargeRequested) -> Step:
    return replace(state, phase=Phase.RESERVING), (Collect(),)


def _collected(state: ParticipantState, event: Collected) -> Step:
    if event.vote is Vote.YES:
        taken = replace(state, phase=Phase.COMMITTED, vote=Vote.YES, reason="")
        return taken, (Persist(taken.record), _voted(taken))
    if event.uncertain:
        # The money may be gone. The article has no word for that: it is a no, and nobody will look again.
        return replace(state, phase=Phase.INITIAL), (Reply(Voted(state.gid, Vote.NO, event.reason)),)
    refused = replace(state, phase=Phase.ABORTED, vote=Vote.NO, reason=event.reason)
    return refused, (Persist(refused.record), _voted(refused))


def _answer_again(state: ParticipantState, _event: Event) -> Step:
    return state, (_voted(state),)


def _copy_over(state: ParticipantState, event: DecisionReceived) -> Step:
    if event.decision is Decision.COMMIT:
        return state, (Reply(Acknowledge(state.gid)),)
    revoked = replace(state, phase=Phase.ABORTED)
    return revoked, (Revoke(), Persist(revoked.record), Reply(Acknowledge(state.gid)))


def _copy_too_late(state: ParticipantState, _event: DecisionReceived) -> Step:
    # The goods are back on the shelf: a success that comes now is acknowledged and changes nothing.
    return state, (Reply(Acknowledge(state.gid)),)


def _voted(state: ParticipantState) -> Reply:
    return Reply(Voted(state.gid, state.vote or Vote.NO, state.reason or ("" if state.vote else "aborted")))


def _ignore(state: ParticipantState, _event: Event) -> Step:
    return state, ()


# ---- the table ------------------------------------------------------------------------------------------------------


def _again(phase: Phase) -> Transition[ParticipantState]:
    return Transition(_answer_again, (Outcome(phase, (Reply,)),))


_COLLECTED = Transition(
    _collected,
    (
        Outcome(Phase.COMMITTED, (Persist, Reply)),
        Outcome(Phase.INITIAL, (Reply,)),
        Outcome(Phase.ABORTED, (Persist, Reply)),
    ),
)
_HONEST = participant.TRANSITIONS

TRANSITIONS: Table[ParticipantState] = {
    Phase.INITIAL: {
        **_HONEST[Phase.INITIAL],
        ChargeRequested: Transition(_collect, (Outcome(Phase.RESERVING, (Collect,)),)),
    },
    Phase.RESERVING: {
        **_HONEST[Phase.RESERVING],
        # A duplicate while the first is being worked on: the first will answer.
        ChargeRequested: Transition(_ignore, (Outcome(Phase.RESERVING),)),
        Collected: _COLLECTED,
    },
    Phase.PREPARED: {**_HONEST[Phase.PREPARED]},
    Phase.COMMITTED: {
        **_HONEST[Phase.COMMITTED],
        ChargeRequested: _again(Phase.COMMITTED),
        Collected: _again(Phase.COMMITTED),
        DecisionReceived: Transition(
            _copy_over, (Outcome(Phase.COMMITTED, (Reply,)), Outcome(Phase.ABORTED, (Revoke, Persist, Reply)))
        ),
    },
    Phase.ABORTED: {
        **_HONEST[Phase.ABORTED],
        ChargeRequested: _again(Phase.ABORTED),
        Collected: _again(Phase.ABORTED),
        DecisionReceived: Transition(_copy_too_late, (Outcome(Phase.ABORTED, (Reply,)),)),
    },
}
