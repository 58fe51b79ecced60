"""What a storm of services consists of: rounds, each with one customer and at most one thing that goes wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final

from settlement.protocol.crashpoints import COORDINATOR_POINTS, PARTICIPANT_POINTS
from settlement.topology import PARTICIPANTS

METHODS: Final = ("card", "wallet", "balance")


class Wish(StrEnum):
    """What the customer does. Whoever hears nothing definite asks again, with the same key."""

    PAYS = "pays"
    TWICE = "pays, and sends the same request twice at once"
    REFUNDS = "pays, and then takes it back"
    REFUNDS_TWICE = "pays, and then sends the same refund twice at once"


class Kind(StrEnum):
    """What goes wrong."""

    NOTHING = "nothing"
    CRASH = "crash"
    LOST = "lost reply"
    REFUSED = "refused call"
    ZOMBIE = "zombie"


@dataclass(frozen=True)
class Trouble:
    """`where`: a replica, or a service that is called. `what`: a crash point, or the path of the calls.

    `stays`: the dead replica does not come back before the round is over, so that another takes its lease over.
    `late`: it is armed before the refund, not before the payment. `also`: calls (service, path) that are refused, so
    that the crash point is passed at all.
    """

    kind: Kind = Kind.NOTHING
    where: str = ""
    what: str = ""
    stays: bool = False
    late: bool = False
    also: tuple[str, str] | None = None

    def __str__(self) -> str:
        when = " of the refund" if self.late else ""
        when += f", after calls of {''.join(self.also)} were refused" if self.also else ""
        match self.kind:
            case Kind.NOTHING:
                return "nothing goes wrong"
            case Kind.CRASH:
                return f"{self.where} dies at {self.what}{when}" + (" and stays away" if self.stays else "")
            case Kind.LOST:
                return f"the next answer of {self.where}{self.what}{when} is lost"
            case Kind.REFUSED:
                return f"the next call of {self.where}{self.what}{when} is refused"
        return f"gateway-0 loses its lease while it waits for {self.where}{when}: gateway-1's clock is ahead"


@dataclass(frozen=True)
class Round:
    """One customer and one trouble."""

    number: int
    method: str
    wish: Wish
    trouble: Trouble

    def __str__(self) -> str:
        return f"round {self.number}: a customer {self.wish}, by {self.method}; {self.trouble}"


CALLS: Final = (
    ("order", "/participant/prepare"), ("payment", "/participant/prepare"),
    ("order", "/participant/decision"), ("payment", "/participant/decision"),
    ("channel", "/"),
)  # fmt: skip
# What one customer never comes by: retries that end, records of nobody, answers to orphans by a closed record. And
# steps that do nothing here: a crash before or after them is one after or before their neighbours.
NOT_HERE: Final = (
    "coordinator.exhausted.", "coordinator.initial.", "coordinator.fenced.", "coordinator.preparing.reply.",
    "coordinator.closed.reply.",
)  # fmt: skip
IDLE: Final = ("settimer", "canceltimer")


def storm(seed: int) -> list[Round]:
    """The rounds of a seed, what is simplest first: every wish in peace, then every trouble once."""
    luck = random.Random(seed)
    peace = [(wish, Trouble()) for wish in Wish]
    troubled = [(_wish(luck, trouble), trouble) for group in _troubles(luck) for trouble in _shuffled(luck, group)]
    return [
        Round(number, _method(luck, trouble), wish, trouble)
        for number, (wish, trouble) in enumerate(peace + troubled, 1)
    ]


def _shuffled(luck: random.Random, group: list[Trouble]) -> list[Trouble]:
    luck.shuffle(group)
    return group


def _method(luck: random.Random, trouble: Trouble) -> str:
    asks_channel = "channel" in (trouble.where, *(trouble.also or ()))
    return luck.choice(METHODS[:2] if asks_channel else METHODS)


def _wish(luck: random.Random, trouble: Trouble) -> Wish:
    if trouble.late:
        return luck.choice((Wish.REFUNDS, Wish.REFUNDS_TWICE))
    return luck.choice((Wish.PAYS, Wish.TWICE, Wish.REFUNDS))


def _troubles(luck: random.Random) -> Iterator[list[Trouble]]:
    """What happens where money moves comes first, then crashes right after something was written, zombies, the rest."""
    early_and_late = (False, True)
    failures = product((Kind.LOST, Kind.REFUSED), CALLS, early_and_late)
    calls = [Trouble(kind, *call, late=late) for kind, call, late in failures]
    crashes = [*_gateway_crashes(luck), *_participant_crashes(luck)]
    yield [call for call in calls if call.where == "channel"]
    yield [crash for crash in crashes if crash.what.endswith(".persist.after")]
    yield [Trouble(Kind.ZOMBIE, service, late=late) for service, late in product(PARTICIPANTS, early_and_late)]
    yield [call for call in calls if call.where != "channel"]
    yield [crash for crash in crashes if not crash.what.endswith(".persist.after")]


def _gateway_crashes(luck: random.Random) -> Iterator[Trouble]:
    for point in _points(COORDINATOR_POINTS):
        yield Trouble(Kind.CRASH, "gateway-0", point, stays=luck.random() < 0.5, late=luck.random() < 0.25)


def _participant_crashes(luck: random.Random) -> Iterator[Trouble]:
    for service, point in product(PARTICIPANTS, _points(PARTICIPANT_POINTS)):
        if (service, point.split(".")[1]) != ("order", "initial"):  # an order holds nothing outside
            also = _provocation(service, point)
            yield Trouble(Kind.CRASH, f"{service}-0", point, late=luck.random() < 0.25, also=also)


def _points(points: tuple[str, ...]) -> list[str]:
    return [point for point in points if not point.startswith(NOT_HERE) and point.split(".")[2] not in IDLE]


def _provocation(service: str, point: str) -> tuple[str, str] | None:
    """What has to fail for a participant to come by this point."""
    if point.startswith("participant.aborted."):  # the other one cannot be asked
        return ("payment" if service == "order" else "order"), "/participant/prepare"
    if point.startswith("participant.prepared.send."):  # it is not told, and asks
        return service, "/participant/decision"
    return ("channel", "/") if point.startswith("participant.initial.") else None
