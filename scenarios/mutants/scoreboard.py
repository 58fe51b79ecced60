"""Every mutant against the instruments that should kill it, and the shipped code against all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from scenarios.errors import LabError
from scenarios.mutants.attack import Attack, Instrument, timed
from scenarios.mutants.instruments import INSTRUMENTS
from scenarios.mutants.planted import Mutant, planted
from scenarios.spreading import spread

SHIPPED = ""
"""In place of a mutant's name: the code as it is."""


class UnknownMutants(LabError):
    """Names that no mutant has; the message lists all of them, and those there are."""


@dataclass(frozen=True)
class Row:
    """One mutant, or the shipped code, and every attack on it in the order in which they were made."""

    name: str
    attacks: tuple[Attack, ...]

    @property
    def kills(self) -> tuple[Attack, ...]:
        """The attacks that noticed."""
        return tuple(attack for attack in self.attacks if attack.killed)

    @property
    def fastest(self) -> Attack | None:
        """The kill that took the least time."""
        return min(self.kills, key=lambda attack: attack.seconds, default=None)

    @property
    def shortest(self) -> Attack | None:
        """The kill with the shortest trace; one without steps only if there is no other."""
        return min(self.kills, key=lambda attack: attack.steps or 10**9, default=None)

    @property
    def missed_by(self) -> tuple[str, ...]:
        """The instruments that should have noticed and did not."""
        return tuple(attack.instrument for attack in self.attacks if not attack.killed)


@dataclass(frozen=True)
class Scoreboard:
    """All rows; `seconds` is the real time of the whole."""

    seed: int
    rows: tuple[Row, ...]
    seconds: float

    @property
    def mutants(self) -> tuple[Row, ...]:
        """The rows of mutants."""
        return tuple(row for row in self.rows if row.name != SHIPPED)

    @property
    def survivors(self) -> tuple[str, ...]:
        """Mutants that nothing noticed."""
        return tuple(row.name for row in self.mutants if not row.kills)

    @property
    def false_alarms(self) -> tuple[Attack, ...]:
        """What the instruments say against the shipped code."""
        return tuple(attack for row in self.rows if row.name == SHIPPED for attack in row.kills)

    @property
    def passed(self) -> bool:
        """Whether every mutant is dead and the shipped code alive."""
        return not self.survivors and not self.false_alarms

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        known = planted().MUTANTS
        return {
            "verdict": "pass" if self.passed else "fail",
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "survivors": list(self.survivors),
            "mutants": [{**_about(known[row.name]), **_attacks(row)} for row in self.mutants],
            "shipped": [_attacks(row) for row in self.rows if row.name == SHIPPED],
        }


def _about(mutant: Mutant) -> dict[str, Any]:
    return {"name": mutant.name, "bug": mutant.bug, "patches": mutant.patches, "expected": list(mutant.killed_by)}


def _attacks(row: Row) -> dict[str, Any]:
    return {"killed": bool(row.kills), "attacks": [attack.to_json() for attack in row.attacks]}


def instruments() -> Mapping[str, Instrument]:
    """All instruments by name, cheapest first."""
    return {**INSTRUMENTS, **planted().INSTRUMENTS}


def chosen(names: Sequence[str]) -> list[str]:
    """The mutants called so, or all. Raises UnknownMutants with every name that is none."""
    known = planted().MUTANTS
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownMutants(f"no such mutants: {', '.join(unknown)}; there are: {', '.join(known)}")
    return [name for name in known if not names or name in names]


Done = Callable[[Row], None]


def play(names: Sequence[str], seed: int, workers: int, done: Done) -> tuple[Row, ...]:
    """A row for each mutant and one for the shipped code; `done` hears of each part as it ends.

    The shipped code has to bear the instruments of all of `names`. Raises KeyboardInterrupt.
    """
    known = planted().MUTANTS
    used = [name for name in instruments() if any(name in known[mutant].killed_by for mutant in names)]
    jobs: list[tuple[str, tuple[str, ...]]] = [(SHIPPED, (name,)) for name in reversed(used)]  # the longest first
    jobs += [(name, tuple(each for each in used if each in known[name].killed_by)) for name in names]
    ended: dict[str, list[Attack]] = {}
    for row in spread(partial(_job, seed=seed), jobs, 1 if len(jobs) == 1 else workers):
        ended.setdefault(row.name, []).extend(row.attacks)
        done(row)
    order = list(instruments())
    return tuple(
        Row(name, tuple(sorted(ended[name], key=lambda attack: order.index(attack.instrument))))
        for name in (SHIPPED, *names)
        if name in ended
    )


def _job(job: tuple[str, tuple[str, ...]], seed: int) -> Row:
    return attacked(*job, seed)


def attacked(name: str, with_: Sequence[str], seed: int) -> Row:
    """One mutant (or SHIPPED), attacked in this process, which is as it was again afterwards."""
    known = instruments()
    attacks: list[Attack] = []
    with nullcontext() if name == SHIPPED else planted().mutated(name):
        for each in with_:
            traced = not any(attack.steps for attack in attacks)
            attacks.append(timed(known[each], seed, traced))
    return Row(name, tuple(attacks))
