"""The vocabulary of the protocol's model: bounds, letters in the network, and the steps that a story is told in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from settlement.protocol.messages import Acknowledge, AskOutcome, Decide, Message, Outcome, Prepare, Voted

GID = "g"
NOBODY = -1
"""In place of a gateway replica: nobody waits for an answer any more, or whoever is there."""


# What a move costs: one of the faults that are left, four bits each. FREE moves are no faults.
BUDGET_BITS = 4
BUDGET_MAX = (1 << BUDGET_BITS) - 1
FREE = 0
CRASH, LOSS, DUPLICATE, PAUSE = (1 << (BUDGET_BITS * index) for index in range(4))

COPIED = "arrives, and a copy is still on its way"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large the system is, and how many faults there may be in all.

    `pauses`: leases that run out although their owner lives. `refusals`, `uncertainty`: whether a participant's
    business may say no, or cannot tell what it holds outside. `asked_last`: one participant charges at once and is
    asked last. `forgetful_channel`: a release that finds nothing to release outside leaves no trace there (ours leave a
    tombstone). `symmetry`: participants that differ in nothing but their name count as the same. `reduced`: what can
    make no difference any more is not kept apart (see `states`). The last two are for those who doubt them.
    """

    participants: int = 2
    replicas: int = 2
    crashes: int = 2
    losses: int = 1
    duplicates: int = 1
    pauses: int = 1
    refusals: bool = True
    uncertainty: bool = True
    asked_last: bool = False
    forgetful_channel: bool = False
    symmetry: bool = True
    reduced: bool = True


@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way. `replica`: the gateway replica that sent it, or that waits for it."""

    replica: int
    message: Message

    @property
    def to_participant(self) -> bool:
        """Which way it goes."""
        return isinstance(self.message, Prepare | Decide | Outcome)

    @property
    def name(self) -> str:
        """What it says, for people."""
        return name_of(self.message)


@cache
def name_of(message: Message) -> str:
    """What a message says, in a few words."""
    match message:
        case Prepare():
            return "prepare"
        case Voted(vote=vote):
            return f"vote {vote}"
        case Decide(decision=decision):
            return f"decide {decision}"
        case Acknowledge():
            return "acknowledge"
        case AskOutcome():
            return "what became of it?"
        case Outcome(decision=decision):
            return f"outcome {decision or 'open'}"
        case _:
            return type(message).__name__.lower()


def sort_key(letter: Letter) -> tuple[int, str]:
    """One order for letters, so that the same letters are the same state."""
    return letter.replica, letter.name


def posted(mail: tuple[Letter, ...], new: tuple[Letter, ...]) -> tuple[Letter, ...]:
    """The mail with new letters. A letter is not doubled by being sent again: copies are faults (see `Bounds`)."""
    added = [letter for letter in dict.fromkeys(new) if letter not in mail]
    return tuple(sorted((*mail, *added), key=sort_key)) if added else mail


def without(mail: tuple[Letter, ...], letter: Letter) -> tuple[Letter, ...]:
    """The mail with one such letter less."""
    index = mail.index(letter)
    return mail[:index] + mail[index + 1 :]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, without saying to which participant: the model adds that.

    `kind`: deliver, lose, duplicate, crash, timer, claim, resume, begin or answer. `replica` is NOBODY where the
    gateway takes no part. `arrow`: the message that travels, `to_participant` its way. `notes`: what it brings about.
    `marks`: the `sometimes` properties that it is an occurrence of. `fair`: its fairness class.
    """

    kind: str
    replica: int
    at_participant: bool
    text: str
    arrow: str = ""
    to_participant: bool = False
    notes: tuple[str, ...] = ()
    marks: frozenset[str] = frozenset()
    fair: str = ""
