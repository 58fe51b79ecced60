"""The model of our protocol: gateway replicas, participants and a network that lose, repeat and crash within bounds.

A state is a *core* (the gateway's row, who drives it, what the client was told) and a *slice* for each participant: the
participant, the letters between it and the gateway in either direction, and what the gateway's replicas have counted of
it. Everything that is about one participant is in its slice, so that participants that differ only in their name are
made one state by sorting the slices. Cores and slices are numbered when they are first met; a state is one integer made
of those numbers and of the faults that are left, and what may happen is worked out once for each combination of them.

Steps are whole: an event is handled and its effects run at once, except that a crash may come after each of them. That
leaves nothing out. A shipped step of the gateway touches what others see (the row) once, by its first effect, and all
that it does afterwards is send: a letter that is sent earlier can still be delivered later. A participant's record and
reservations are seen by nobody else. Between claiming the row and working on it others may act: those are two steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from simulator.explorer import gateway, participants
from simulator.explorer.engine import Model, Problem, Property
from simulator.explorer.gateway_moves import Change, GatewayMoves
from simulator.explorer.participant_moves import ParticipantMoves
from simulator.explorer.parts import (
    BUDGET_BITS,
    BUDGET_MAX,
    CRASH,
    FREE,
    GATEWAY,
    PARTICIPANTS,
    Bounds,
    Step,
    posted,
)
from simulator.explorer.parts import without as opened_from
from simulator.explorer.properties import (
    ABORT,
    ALWAYS,
    COMMIT,
    DAMAGE,
    EXHAUSTED,
    HEURISTIC,
    NO_LEAK,
    ORDERED,
    ORPHAN_INQUIRY,
    RECOVERY,
    RESUMED,
    TAKE_OVER,
    problem,
)
from simulator.explorer.states import Core, Face, Numbers, Slice, Tidier

SLICE_BITS, CORE_BITS, POSITION_BITS = 20, 24, 4
SLICE_MASK, CORE_MASK, POSITION_MASK = (1 << SLICE_BITS) - 1, (1 << CORE_BITS) - 1, (1 << POSITION_BITS) - 1

Local = list[tuple[int, int, int]]  # label, core, slice
Shared = list[tuple[int, int, tuple[int, ...]]]  # label, core, change by position


class ProtocolModel(Model[int, int]):
    """The shipped protocol within `bounds`. One instance is one exploration: it remembers what the code answered."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        heuristic = (HEURISTIC,) if bounds.operators else ()
        self.properties: Sequence[Property] = (*ALWAYS, *heuristic, *_sometimes(bounds))
        self._cores: Numbers[Core] = Numbers(CORE_BITS)
        self._slices: Numbers[Slice] = Numbers(SLICE_BITS)
        self._faces: Numbers[Face] = Numbers(SLICE_BITS)
        self._changes: Numbers[Change] = Numbers(CORE_BITS)
        self._steps: Numbers[Step] = Numbers(CORE_BITS)
        self._face_of: list[int] = []
        self._clean: dict[int, int] = {}
        self._tidier = Tidier(bounds.shipped, bounds.reduced)
        self._participant_moves = ParticipantMoves(bounds)
        self._gateway_moves = GatewayMoves(bounds, self._tidier)
        self._local_cache: dict[tuple[int, int], tuple[Local, dict[int, Local]]] = {}
        self._shared_cache: dict[tuple[int, ...], tuple[Shared, dict[int, Shared]]] = {}
        self._changed_cache: dict[tuple[int, int], int] = {}
        self._slice_shifts = [SLICE_BITS * index for index in range(bounds.participants)]
        self._core_shift = SLICE_BITS * bounds.participants
        self._slices_mask = (1 << self._core_shift) - 1
        self._is_pair = bounds.participants == 2
        self._alike = _alike(bounds)
        self._sorted = self._alike

    # ---- what the engine asks ---------------------------------------------------------------------------------------

    def initial(self) -> Iterator[int]:
        """A client has asked one replica; nothing else has happened."""
        bounds = self.bounds
        core = self._cores.of(Core(None, (gateway.first_drive(),)))
        # The article's orders hold goods of their own. Elsewhere everybody has something outside, which is harder.
        fresh = self._slices.of(Slice(participants.fresh(is_local=bounds.is_article)))
        charger = self._slices.of(Slice(participants.fresh()))
        yield self._packed(bounds.budget, core, [*[fresh] * (bounds.participants - 1), charger])

    def steps(self, state: int) -> list[tuple[int, int]]:
        """What may happen without a fault."""
        budget, core, slices = self._unpacked(state)
        core = self._clean.get(core, core)
        found = []
        for position, own in enumerate(slices):
            for label, new_core, new_slice in self._local(core, own)[0]:
                found.append((label | position, self._packed(budget, new_core, _with(slices, position, new_slice))))
        for label, new_core, changes in self._shared(core, slices)[0]:
            found.append((label, self._packed(budget, new_core, self._changed(slices, changes))))
        return found

    def faults(self, state: int) -> list[tuple[int, int]]:
        """What may go wrong, as far as the faults that are left allow."""
        budget, core, slices = self._unpacked(state)
        core = self._clean.get(core, core)
        found: list[tuple[int, int]] = []
        if not budget:
            return found
        for position, own in enumerate(slices):
            for cost, moves in self._local(core, own)[1].items():
                if _affordable(budget, cost):
                    for label, new_core, new_slice in moves:
                        after = self._packed(budget - cost, new_core, _with(slices, position, new_slice))
                        found.append((label | position, after))
        for cost, shared in self._shared(core, slices)[1].items():
            if _affordable(budget, cost):
                for label, new_core, changes in shared:
                    found.append((label, self._packed(budget - cost, new_core, self._changed(slices, changes))))
        return found

    def problems(self, state: int) -> Sequence[Problem]:
        """The safety properties that this state violates."""
        _, number, numbers = self._unpacked(state)
        core = self._cores.values[number]
        if core.problems or not core.is_quiet:
            return core.problems
        slices = [self._slices.values[each] for each in numbers]
        if not all(each.is_quiet for each in slices):
            return ()
        leaks = [f"a participant {each.node.ending}" for each in slices if each.node.leaks]
        if not (core.overruled or core.forgotten):
            return [problem(NO_LEAK, text) for text in leaks]
        return [] if core.is_marked else [problem(HEURISTIC, f"{text}: an operator's doing") for text in leaks]

    def is_settled(self, state: int) -> bool:
        """Whether nothing is in doubt, and nothing will happen any more.

        Where an operator has overruled the protocol, whoever cannot obey is asked for ever (or until the operator
        closes it): there, nothing in doubt is enough.
        """
        _, number, numbers = self._unpacked(state)
        core = self._cores.values[number]
        slices = [self._slices.values[each] for each in numbers]
        if core.overruled and core.row is not None and core.row.decision is not None:
            return not any(each.node.in_doubt for each in slices)
        return core.is_quiet and all(each.is_quiet and not each.node.in_doubt for each in slices)

    def fairness(self, label: int) -> str:
        """The class of actions that a step belongs to."""
        return self.step_of(label).fair

    def sees(self, label: int, name: str) -> bool:
        """Whether a step is an occurrence of a `sometimes` property."""
        return name in self.step_of(label).marks

    # ---- for stories ------------------------------------------------------------------------------------------------

    def step_of(self, label: int) -> Step:
        """The step of a label."""
        return self._steps.values[label >> POSITION_BITS]

    def position_of(self, label: int) -> int:
        """The participant's position that a label is about."""
        return label & POSITION_MASK

    def core_of(self, state: int) -> Core:
        """The part of a state that is not about one participant alone."""
        return self._cores.values[self._unpacked(state)[1]]

    def slices_of(self, state: int) -> list[Slice]:
        """The participants' parts of a state."""
        return [self._slices.values[each] for each in self._unpacked(state)[2]]

    def canonical(self, state: int) -> int:
        """The state that stands for all that differ from this one in the participants' names only."""
        budget, core, slices = self._unpacked(state)
        first, end = self._alike
        return self._packed(budget, core, slices[:first] + sorted(slices[first:end]) + slices[end:])

    @contextmanager
    def telling_apart(self) -> Iterator[None]:
        """For a while, participants keep their positions: a story has to call each by one name throughout."""
        self._sorted = (0, 0)
        try:
            yield
        finally:
            self._sorted = self._alike

    # ---- numbers ----------------------------------------------------------------------------------------------------

    def _unpacked(self, state: int) -> tuple[int, int, list[int]]:
        """The faults left, the core's number and the slices' numbers."""
        high, low = state >> self._core_shift, state & self._slices_mask
        if self._is_pair:
            return high >> CORE_BITS, high & CORE_MASK, [low & SLICE_MASK, low >> SLICE_BITS]
        return high >> CORE_BITS, high & CORE_MASK, [(low >> shift) & SLICE_MASK for shift in self._slice_shifts]

    def _packed(self, budget: int, core: int, slices: list[int]) -> int:
        begin, end = self._sorted
        if self._is_pair:  # the usual case, and the hottest line of an exploration
            first, second = slices
            if first > second and end - begin == 2:
                first, second = second, first
            return ((budget << CORE_BITS | core) << SLICE_BITS | second) << SLICE_BITS | first
        packed = budget << CORE_BITS | core
        for number in reversed(slices[:begin] + sorted(slices[begin:end]) + slices[end:]):
            packed = packed << SLICE_BITS | number
        return packed

    def _core_number(self, core: Core) -> int:
        """The number of a core. What follows a violation is explored as if there had been none."""
        number = self._cores.of(core)
        if core.problems and number not in self._clean:
            self._clean[number] = self._cores.of(replace(core, problems=()))
        return number

    def _face(self, number: int) -> int:
        while len(self._face_of) <= number:
            own = self._slices.values[len(self._face_of)]
            self._face_of.append(self._faces.of(own.face(timed=self.bounds.delays is not None)))
        return self._face_of[number]

    # ---- what may happen, worked out once for each combination ------------------------------------------------------

    def _local(self, core: int, own: int) -> tuple[Local, dict[int, Local]]:
        found = self._local_cache.get((core, own))
        if found is None:
            found = self._local_cache[core, own] = self._work_out_local(core, own)
        return found

    def _work_out_local(self, core: int, own: int) -> tuple[Local, dict[int, Local]]:
        groups: dict[int, Local] = {FREE: []}
        for cost, step, new_core, new_slice in self._participant_moves.of(
            self._cores.values[core], self._slices.values[own]
        ):
            if cost & CRASH and self.bounds.crash_of == GATEWAY:
                continue
            tidy = self._slices.of(self._tidier.slice(new_slice, new_core.drives))
            after = self._core_number(new_core), tidy
            if cost == FREE or after != (core, own):  # a fault that changes nothing only costs
                groups.setdefault(cost, []).append((self._steps.of(step) << POSITION_BITS, *after))
        return groups.pop(FREE), groups

    def _shared(self, core: int, slices: list[int]) -> tuple[Shared, dict[int, Shared]]:
        key = (core, *map(self._face, slices))
        found = self._shared_cache.get(key)
        if found is None:
            groups: dict[int, Shared] = {FREE: []}
            faces = [self._faces.values[number] for number in key[1:]]
            for move in self._gateway_moves.of(self._cores.values[core], faces):
                if move.cost & CRASH and self.bounds.crash_of == PARTICIPANTS:
                    continue
                label = self._steps.of(move.step) << POSITION_BITS | move.position
                changes = tuple(map(self._changes.of, move.changes))
                groups.setdefault(move.cost, []).append((label, self._core_number(move.core), changes))
            found = self._shared_cache[key] = groups.pop(FREE), groups
        return found

    def _changed(self, slices: list[int], changes: tuple[int, ...]) -> list[int]:
        changed = []
        for pair in zip(slices, changes, strict=True):
            number = self._changed_cache.get(pair)
            if number is None:
                number = self._changed_cache[pair] = self._apply(*pair)
            changed.append(number)
        return changed

    def _apply(self, own_number: int, change_number: int) -> int:
        own, change = self._slices.values[own_number], self._changes.values[change_number]
        mail = own.mail if change.opened is None else opened_from(own.mail, change.opened)
        new = replace(own, mail=posted(mail, change.sent))
        if change.counts is not None:
            replica, has_voted, has_acked = change.counts
            voted = own.voted | {replica} if has_voted else own.voted - {replica}
            acked = own.acked | {replica} if has_acked else own.acked - {replica}
            new = replace(new, voted=voted, acked=acked)
        return self._slices.of(self._tidier.slice(new, change.drives))


def _with(slices: list[int], position: int, number: int) -> list[int]:
    changed = slices.copy()
    changed[position] = number
    return changed


def _affordable(budget: int, cost: int) -> bool:
    while cost:
        if cost & BUDGET_MAX > budget & BUDGET_MAX:
            return False
        cost >>= BUDGET_BITS
        budget >>= BUDGET_BITS
    return True


def _alike(bounds: Bounds) -> tuple[int, int]:
    """The first position of those that differ in nothing but their name, and the one behind the last."""
    if not bounds.symmetry:
        return 0, 0
    return (1 if bounds.asked_last else 0), bounds.participants - bounds.is_article


def _sometimes(bounds: Bounds) -> Iterable[Property]:
    """What has to be seen within these bounds, or the exploration says nothing."""
    yield COMMIT
    yield ABORT
    yield ORPHAN_INQUIRY
    if bounds.crashes:
        yield RECOVERY
    if bounds.replicas > 1 and (bounds.crashes or bounds.pauses):
        yield TAKE_OVER
    if bounds.exhaustions:
        yield EXHAUSTED
        yield RESUMED
    if bounds.operators:
        yield ORDERED
        yield DAMAGE
