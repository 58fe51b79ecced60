"""What binds: what each requirement costs, and why no process can have one replica fewer.

A requirement's price is what the cheapest vector would save without it, by the screen (whose allowance is known by
then). The requirement that costs most is the binding one; if none costs anything, the rate alone decides.
"""

from dataclasses import dataclass, replace
from math import inf

from simulator.capacity.candidates import Candidate, Counts, Field, as_vector
from simulator.capacity.jury import Jury
from simulator.capacity.question import UTILISATION_MAX

NO_AVAILABILITY = 1e-9


@dataclass(frozen=True)
class Price:
    """`saved`: replicas that could go if `requirement` were dropped."""

    requirement: str
    saved: int


@dataclass(frozen=True)
class Reason:
    """Why `process` cannot have one replica fewer."""

    process: str
    constraint: str
    text: str


def prices(answer: Candidate, field: Field) -> list[Price]:
    """What each requirement costs in replicas, the dearest first."""
    asked = field.objective
    relaxed = {
        "p99": replace(asked, p99_s=inf),
        "failures": replace(asked, failures=0),
        "availability": replace(asked, availability=NO_AVAILABILITY),
    }
    found = [
        Price(name, max(0, answer.replicas - _cheapest(replace(field, objective=objective), answer.replicas)))
        for name, objective in relaxed.items()
    ]
    return sorted(found, key=lambda price: -price.saved)


def binding(found: list[Price]) -> str:
    """The dearest requirement, or the rate."""
    return found[0].requirement if found and found[0].saved else "rate"


def _cheapest(field: Field, at_most: int) -> int:
    for group in field.by_cost():
        for candidate in group:
            if candidate.worst_s <= field.objective.p99_s:
                return candidate.replicas
            if candidate.replicas >= at_most:
                return at_most
            break  # the fastest of its cost is too slow
    return at_most


def reasons(answer: Candidate, field: Field, jury: Jury) -> list[Reason]:
    """Why not one fewer, process by process."""
    return [_reason(name, answer, field, jury) for name in answer.counts]


def _reason(name: str, answer: Candidate, field: Field, jury: Jury) -> Reason:
    counts = {**answer.counts, name: answer.counts[name] - 1}
    spare = answer.spares[name]
    left = {**counts, name: counts[name] - spare}
    rate_per_s, least = field.objective.rate_per_s, field.least[name]
    gone = f" with {spare} gone" if spare else ""
    if left[name] < least:
        busy = field.screen.utilisation(name, left[name], rate_per_s) if left[name] else inf
        text = f"{busy:.0%} busy{gone}, planned at most {UTILISATION_MAX:.0%}" if left[name] else f"none left{gone}"
        return Reason(name, "failures" if counts[name] >= least else "rate", text)
    slowest_s, simulated = max(_p99_s(vector, field, jury) for vector in (counts, left))
    if slowest_s > field.objective.p99_s:
        how = "simulated" if simulated else "screened"
        return Reason(name, "p99", f"p99 {slowest_s * 1000:.0f} ms{gone} ({how})")
    if field.spares(counts) is None:
        return Reason(name, "availability", "too few spares for the availability")
    return Reason(name, "p99", f"p99 {slowest_s * 1000:.0f} ms{gone} is too near the objective to be shown to meet it")


def _p99_s(counts: Counts, field: Field, jury: Jury) -> tuple[float, bool]:
    known = jury.known(as_vector(counts, field.table.fixed))
    return (known.p99_s.value, True) if known else (field.screen.p99_s(counts, field.objective.rate_per_s), False)
