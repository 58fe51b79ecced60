"""The vocabulary of the protocol's model: bounds, letters in the network, and the steps that a story is told in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from settlement.protocol.messages import Acknowledge, AskOutcome, Charge, Decide, Message, Outcome, Prepare, Voted
from settlement.protocol.shipped import ARTICLE, PROTOCOLS, TWO_PHASE, Protocol

GID = "g"
NOBODY = -1
"""In place of a gateway replica: nobody waits for an answer any more, or whoever is there."""


# What a move costs: one of the faults that are left, four bits each. FREE moves are no faults. DELAY: a timer of the
# gateway fires although an answer is still on its way. EXHAUSTION: the retry limit is reached. ORDER: an operator's.
BUDGET_BITS = 4
BUDGET_MAX = (1 << BUDGET_BITS) - 1
FREE = 0
CRASH, LOSS, DUPLICATE, PAUSE, DELAY, EXHAUSTION, ORDER = (1 << (BUDGET_BITS * index) for index in range(7))

ANYBODY, GATEWAY, PARTICIPANTS = WHO = ("anybody", "gateway", "participants")
"""Whose processes crash."""

COPIED = "arrives, and a copy is still on its way"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large the system is, and how many faults there may be in all.

    `pauses`: leases that run out although their owner lives. `delays`: timers of the gateway that fire although what
    they wait for is still on its way; None: any number, which is what an asynchronous network is. `exhaustions`: how
    often retrying ends, and the transaction is handed to an operator. `operators`: their heuristic orders (commit,
    abort, forget). `crash_of`: whose processes crash, one of WHO. `refusals`, `uncertainty`: whether a participant's
    business may say no, or cannot tell what it holds outside. `asked_last`: one participant charges at once and is
    asked last. `forgetful_channel`: a release that finds nothing to release outside leaves no trace there (ours leave a
    tombstone). `protocol`: which of those that ship; in the article's, the last participant takes the money, and a
    channel that does not answer counts as a loss.
    `symmetry`: participants that differ in nothing but their name count as the same. `reduced`: what can make no
    difference any more is not kept apart (see `states`). The last two are for those who doubt them.
    """

    participants: int = 2
    replicas: int = 2
    crashes: int = 2
    losses: int = 1
    duplicates: int = 1
    pauses: int = 1
    delays: int | None = None
    exhaustions: int = 0
    operators: int = 0
    refusals: bool = True
    uncertainty: bool = True
    asked_last: bool = False
    forgetful_channel: bool = False
    protocol: str = TWO_PHASE
    crash_of: str = ANYBODY
    symmetry: bool = True
    reduced: bool = True

    @property
    def shipped(self) -> Protocol:
        """The protocol to be explored."""
        return PROTOCOLS[self.protocol]

    @property
    def is_article(self) -> bool:
        """Whether that is the article's."""
        return self.protocol == ARTICLE

    @property
    def budget(self) -> int:
        """All the faults there may be, as the number that moves are paid from."""
        counts = (self.crashes, self.losses, self.duplicates, self.pauses, self.delays or 0)
        kinds = (CRASH, LOSS, DUPLICATE, PAUSE, DELAY)
        faults = sum(count * kind for count, kind in zip(counts, kinds, strict=True))
        return faults + self.exhaustions * EXHAUSTION + self.operators * ORDER

    @property
    def people(self) -> tuple[str, ...]:
        """The participants' names in a story, by position."""
        if not self.is_article:
            return tuple(f"participant-{index}" for index in range(self.participants))
        orders = self.participants - 1
        return (*(("order",) if orders == 1 else tuple(f"order-{index}" for index in range(orders))), "payment")

    def problems(self) -> list[str]:
        """What is wrong with asking for this; empty: nothing."""
        if self.protocol not in PROTOCOLS:
            return [f"protocol: {self.protocol!r} is none of {', '.join(PROTOCOLS)}"]
        if self.crash_of not in WHO:
            return [f"crash_of: {self.crash_of!r} is none of {', '.join(WHO)}"]
        if not self.is_article:
            return []
        alone = self.participants == 1
        found = ["participants: one has to pre-commit, and another one to take the money"] if alone else []
        only_two_phase = {
            "asked_last": "the article's last participant charges anyway",
            "exhaustions": "the article repeats nothing",
            "operators": "operators decide about two_phase only",
            "forgetful_channel": "nobody releases in the article",
        }
        return found + [f"{name}: {why}" for name, why in only_two_phase.items() if getattr(self, name)]


@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way. `replica`: the gateway replica that sent it, or that waits for it."""

    replica: int
    message: Message

    @property
    def to_participant(self) -> bool:
        """Which way it goes."""
        return isinstance(self.message, Prepare | Charge | Decide | Outcome)

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
        case Charge():
            return "charge"
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

    `kind`: deliver, lose, duplicate, crash, timer, claim, order, resume, begin or answer. `replica` is NOBODY where the
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
