"""What a state of the protocol's model is made of, and what of it makes no difference and is not kept apart.

A *core* is all that is not about one participant alone; a *slice* is all that is about one. Two reductions apply to
every new one, and both are worked out by running the shipped code, so that they hold for a broken protocol too:
letters that can change nothing any more, whenever they arrive, are dropped; a replica that has lost its row, and whose
every next step would begin with a write that fails, is followed no further.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from settlement.protocol.records import Decision, TransactionRecord
from settlement.protocol.shipped import Protocol
from simulator.explorer import gateway, irrelevance, participants
from simulator.explorer.engine import Problem
from simulator.explorer.gateway import Drive
from simulator.explorer.participants import Node
from simulator.explorer.parts import NOBODY, Letter, sort_key

Value = TypeVar("Value")


class TooLarge(Exception):
    """The model has more different parts than the encoding of its states has room for."""


class Numbers(Generic[Value]):
    """Values and their numbers, in the order in which they were first met."""

    def __init__(self, bits: int) -> None:
        self.values: list[Value] = []
        self._numbers: dict[Value, int] = {}
        self._max = 1 << bits

    def of(self, value: Value) -> int:
        """The number of a value, given to it now if it has none. Raises TooLarge."""
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
            if number >= self._max:
                raise TooLarge(f"more than {self._max:,} different {type(value).__name__.lower()}s")
        return number


@dataclass(frozen=True, slots=True)
class Core:
    """All that is not about one participant alone.

    `told`: what the client was told. `applied`: the outcomes that participants have made durable. `excused`: somebody
    has refused, a timer of the gateway has fired or another replica has taken over: an abort has its reason.
    `overruled`, `forgotten`: an operator has decided, or closed it. That is what happened; what the row says of it is
    to be judged.
    """

    row: TransactionRecord | None
    drives: tuple[Drive, ...]
    told: Decision | None = None
    applied: frozenset[Decision] = frozenset()
    excused: bool = False
    overruled: bool = False
    forgotten: bool = False
    problems: tuple[Problem, ...] = ()

    @property
    def is_quiet(self) -> bool:
        """Whether the gateway, and the operator whom it hands things to, have nothing left to do."""
        return not self.drives and (self.row is None or self.row.phase not in gateway.OPEN)

    @property
    def is_marked(self) -> bool:
        """Whether the row says that an operator had a hand in it."""
        return self.row is not None and self.row.heuristic


@dataclass(frozen=True, slots=True)
class Slice:
    """All that is about one participant: itself, the letters to and from it, and which replicas have counted it.

    `voted`: the replicas that have heard its yes. `acked`: those that have heard its acknowledgement.
    """

    node: Node
    mail: tuple[Letter, ...] = ()
    voted: frozenset[int] = frozenset()
    acked: frozenset[int] = frozenset()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing will happen here by itself."""
        return not self.mail and self.node.is_quiet

    def face(self, *, timed: bool) -> Face:
        """What the gateway's steps depend on. `timed`: also on what its replicas still wait for."""
        letters = tuple(each for each in self.mail if not each.to_participant and each.replica != NOBODY)
        return Face(self.voted, self.acked, self.node.has_promised, letters, self._awaited if timed else frozenset())

    @property
    def _awaited(self) -> frozenset[int]:
        working = () if self.node.owed is None else (self.node.owed,)
        return frozenset((*(letter.replica for letter in self.mail), *working)) - {NOBODY}


@dataclass(frozen=True, slots=True)
class Face:
    """The side of a slice that the gateway sees, and whether the participant has durably promised.

    `awaited`: the replicas that something is on its way to, or that somebody is working for.
    """

    voted: frozenset[int]
    acked: frozenset[int]
    promised: bool
    letters: tuple[Letter, ...]
    awaited: frozenset[int] = frozenset()


class Tidier:
    """Brings cores and slices into the form in which they are compared. `thorough`: with the reductions."""

    def __init__(self, protocol: Protocol, thorough: bool) -> None:
        self._protocol, self._thorough = protocol, thorough
        self._can_tell: dict[Drive, bool] = {}
        self._slices: dict[tuple[Slice, tuple[Drive, ...]], Slice] = {}

    def drives(self, row: TransactionRecord | None, drives: tuple[Drive, ...]) -> tuple[Drive, ...]:
        """Those that are worth following, in order."""
        kept = [each for each in drives if not self._thorough or self._is_worth_following(row, each)]
        return tuple(sorted(kept, key=lambda each: each.replica))

    def slice(self, own: Slice, drives: tuple[Drive, ...]) -> Slice:
        """A slice beside these drives: nobody waits any more where a drive has ended."""
        tidy = self._slices.get((own, drives))
        if tidy is None:
            tidy = self._slices[own, drives] = self._tidied(own, drives)
        return tidy

    def _is_worth_following(self, row: TransactionRecord | None, drive: Drive) -> bool:
        if row is None or drive.epoch == row.epoch:
            return True
        known = self._can_tell.get(drive)
        if known is None:
            known = self._can_tell[drive] = irrelevance.can_tell(self._protocol, drive)
        return known

    def _tidied(self, own: Slice, drives: tuple[Drive, ...]) -> Slice:
        live = {drive.replica: drive for drive in drives}
        node = own.node
        if node.owed is not None and node.owed not in live:
            node = replace(node, owed=NOBODY)
        voted = frozenset(each for each in own.voted if each in live)
        acked = frozenset(each for each in own.acked if each in live)
        mail = [each for each in (_readdressed(letter, live) for letter in own.mail) if each is not None]
        if self._thorough:
            voted = frozenset(each for each in voted if not irrelevance.forgets_votes(self._protocol, live[each]))
            over = participants.is_over(self._protocol, node)
            mail = [each for each in mail if not self._is_idle(each, node, over, acked, live)]
        return Slice(node, tuple(sorted(mail, key=sort_key)), voted, acked)

    def _is_idle(self, letter: Letter, node: Node, over: bool, acked: frozenset[int], live: dict[int, Drive]) -> bool:
        """Whether a letter can change nothing any more, whenever it arrives."""
        if letter.to_participant:
            event = participants.event_of(letter)
            gone = over and letter.replica == NOBODY
            return gone and participants.changes_nothing(self._protocol, node, event) is True
        if letter.replica == NOBODY:
            return False
        return irrelevance.ignores(self._protocol, live[letter.replica], letter.replica in acked, letter.message)


def _readdressed(letter: Letter, live: dict[int, Drive]) -> Letter | None:
    """The letter once some drives have ended: what they sent still arrives, what they waited for does not."""
    if letter.replica == NOBODY or letter.replica in live:
        return letter
    return replace(letter, replica=NOBODY) if letter.to_participant else None
