"""Shares like `pay=70,browse=20,refund=10`, and the endless arrivals that plain Locust draws from them."""

import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from scenarios.plan import Arrival

JOURNEYS = ("pay", "browse", "refund")
METHODS = ("card", "wallet", "balance")


class BadMix(ValueError):
    """Shares that cannot be used; the message lists every problem."""


def parse(text: str, known: Sequence[str], option: str) -> dict[str, float]:
    """Shares by name; they need not sum to anything. Raises BadMix that names `option` and all problems."""
    shares: dict[str, float] = {}
    problems = []
    for part in text.split(","):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        share = _number(value)
        if not separator or share is None:
            problems.append(f"{part.strip()!r}: expected NAME=SHARE with a share that is not negative")
        elif name not in known:
            problems.append(f"{name!r}: unknown, expected one of {', '.join(known)}")
        elif name in shares:
            problems.append(f"{name!r}: given twice")
        else:
            shares[name] = share
    if not problems and sum(shares.values()) <= 0:
        problems.append("all shares are zero")
    if problems:
        raise BadMix(f"--{option} {text!r}: " + "; ".join(problems))
    return shares


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def arrivals(
    mix: Mapping[str, float], methods: Mapping[str, float], goods_ids: Sequence[int], source: random.Random
) -> Iterator[Arrival]:
    """Journeys without end, drawn by the shares; keys are unlike those of any other run."""
    stem = secrets.token_hex(6)
    for number in count(1):
        (journey,) = source.choices(list(mix), list(mix.values()))
        (method,) = source.choices(list(methods), list(methods.values()))
        yield Arrival(number, 0.0, journey, method, source.choice(goods_ids), 1, f"{stem}-{number}")
