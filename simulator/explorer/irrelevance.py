"""What of the gateway makes no difference any more, worked out with its code: so it holds for broken code, too."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from settlement.protocol.coordinator import CoordinatorState
from settlement.protocol.effects import PATIENCE_TIMER, PREPARE_TIMER, RETRY_TIMER, Effect, Persist, Reply, Send
from settlement.protocol.events import AckReceived, Event, Fenced, Recovered, TimerFired, VoteReceived
from settlement.protocol.messages import Message
from settlement.protocol.records import CoordinatorPhase, Vote
from settlement.protocol.shipped import Protocol
from settlement.protocol.transitions import ProtocolError
from simulator.explorer.gateway import Drive, event_of, without_history

TIMERS = (RETRY_TIMER, PREPARE_TIMER, PATIENCE_TIMER)


def ignores(protocol: Protocol, drive: Drive, acked: bool, message: Message) -> bool:
    """Whether an answer changes nothing, now or in any state that this drive may still get into."""
    if drive.found is not None or drive.state.phase is not CoordinatorPhase.DECIDED:
        return False
    everybody = drive.state.participants
    own, *others = [each.name for each in everybody]  # to a drive that has decided, all participants are alike
    for count in range(len(others) + 1):
        for some in combinations(others, count):
            acks = frozenset((*some, own) if acked else some)
            if len(acks) == len(everybody):
                continue  # it would be closed
            state = replace(drive.state, acked=acks)
            handled = _handled(protocol, state, event_of(own, message))
            if handled is None or handled[1] or without_history(handled[0]) != state:
                return False
    return True


def can_tell(protocol: Protocol, drive: Drive) -> bool:
    """Whether a drive that has lost its row could still tell anybody anything before it finds out.

    False: whatever happens to it next, each of its steps begins with a write, which will fail.
    """
    state = drive.state
    known = tuple(each.name for each in state.participants)
    events: tuple[Event, ...] = (
        *(VoteReceived(name, vote) for name in known for vote in Vote),
        *map(AckReceived, known),
        *map(TimerFired, TIMERS),
    )
    first = (Recovered(drive.found),) if drive.found is not None else events
    waiting = [(state, event) for event in first]
    seen = {state}
    while waiting:
        handled = _handled(protocol, *waiting.pop())
        if handled is None:
            return True
        after, effects = handled
        if effects and isinstance(effects[0], Persist):
            continue
        if any(isinstance(effect, Persist | Send | Reply) for effect in effects):
            return True
        if after not in seen:
            seen.add(after)
            waiting += [(after, event) for event in events]
    return False


def forgets_votes(protocol: Protocol, drive: Drive) -> bool:
    """Whether it makes no difference any more who has voted."""
    if drive.state.phase is not CoordinatorPhase.DECIDED:
        return False
    known = tuple(each.name for each in drive.state.participants)
    events: tuple[Event, ...] = (
        *(VoteReceived(name, vote) for name in known for vote in Vote),
        *map(AckReceived, known),
        *map(TimerFired, TIMERS),
        Fenced(),
    )
    for acked in (frozenset[str](), frozenset(known[1:])):
        for event in events:
            handled = _handled(protocol, replace(drive.state, acked=acked, yes_votes=frozenset(known)), event)
            if handled is None:
                return False
            after = replace(handled[0], yes_votes=frozenset()), handled[1]
            if after != _handled(protocol, replace(drive.state, acked=acked), event):
                return False
    return True


def _handled(
    protocol: Protocol, state: CoordinatorState, event: Event
) -> tuple[CoordinatorState, tuple[Effect, ...]] | None:
    """What the shipped code says; None if the event is impossible."""
    try:
        return protocol.coordinator(state, event)
    except ProtocolError:
        return None
