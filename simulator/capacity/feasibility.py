"""What no replica vector can give, found before anything is searched; each reason with what could be had instead."""

from dataclasses import dataclass

from simulator.capacity import availability
from simulator.capacity.candidates import Field
from simulator.capacity.jury import Jury
from simulator.capacity.question import UTILISATION_MAX, Objective

ROUND_UP = 1.1
"""The nearest p99 that is offered is so far above what payments take without any load."""


@dataclass(frozen=True)
class Refusal:
    """One reason: what was asked, and the nearest that could be had."""

    requirement: str
    text: str
    nearest: float


class Infeasible(Exception):
    """The objective is out of reach; `refusals` are all reasons."""

    def __init__(self, objective: Objective, refusals: list[Refusal]) -> None:
        super().__init__("; ".join(refusal.text for refusal in refusals))
        self.objective, self.refusals = objective, refusals


def impossible(field: Field) -> None:
    """Raise Infeasible with everything in the objective that no vector can meet."""
    refusals = [found for found in (_rate(field), _p99(field), _availability(field)) if found is not None]
    if refusals:
        raise Infeasible(field.objective, refusals)


def out_of_reach(field: Field, jury: Jury, complete: bool) -> Infeasible:
    """The error for a search that found nothing: the best that it saw."""
    seen = [judged.p99_s.high for judged in jury.played]
    best_s = min(seen, default=field.table.unloaded_p99_s * ROUND_UP)
    tried = "every vector near the fewest replicas" if complete else f"{len(seen)} vectors"
    text = (
        f"p99 of {field.objective.p99_s * 1000:.0f} ms: {tried} was tried; the shortest that was shown is "
        f"{best_s * 1000:.0f} ms"
    )
    return Infeasible(field.objective, [Refusal("p99", text, best_s)])


def _rate(field: Field) -> Refusal | None:
    objective, replicas_max = field.objective, field.question.replicas_max
    useful = replicas_max - objective.failures
    limits = {
        row.process: useful * field.screen.available(row) * UTILISATION_MAX / row.demand_s for row in field.table.rows
    }
    name = min(limits, key=lambda process: limits[process])
    if objective.rate_per_s <= limits[name] and useful > 0:
        return None
    gone = f" with {objective.failures} gone" if objective.failures else ""
    text = (
        f"rate of {objective.rate_per_s:g}/s: {replicas_max} replicas of {name}{gone} bear at most "
        f"{max(0.0, limits[name]):.4g}/s"
    )
    return Refusal("rate", text, max(0.0, limits[name]))


def _p99(field: Field) -> Refusal | None:
    unloaded_s = field.table.unloaded_p99_s
    if field.objective.p99_s > unloaded_s:
        return None
    nearest_s = ROUND_UP * unloaded_s
    text = (
        f"p99 of {field.objective.p99_s * 1000:.4g} ms: without any load it is {unloaded_s * 1000:.4g} ms already, "
        f"and replicas cannot shorten that; ask for {nearest_s * 1000:.0f} ms or more, or for faster replicas"
    )
    return Refusal("p99", text, nearest_s)


def _availability(field: Field) -> Refusal | None:
    objective, least, up = field.objective, field.least, field.question.reliability.up
    most = {name: max(count, field.question.replicas_max) for name, count in least.items()}
    best = availability.of_platform(most, least, up)
    if objective.availability <= best:
        return None
    text = (
        f"availability of {objective.availability:.7%}: with {field.question.replicas_max} replicas of each process, "
        f"each up {up:.5%} of the time, at most {best:.7%}"
    )
    return Refusal("availability", text, best)
