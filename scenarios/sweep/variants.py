"""From a design to variants that are known to be good, or to everything that is wrong with any of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scenarios.plan import plan
from scenarios.spec import Change, InvalidScenario, Problem, Scenario, Source
from scenarios.sweep.design import values_of
from scenarios.worlds.base import UnsupportedPlan, refuse_unsupported
from scenarios.worlds.simulated import SimulatedWorld


@dataclass(frozen=True)
class Variant:
    """One run of a sweep; `number` is its place in it."""

    number: int
    scenario: Scenario
    seed: int


def variants_of(
    source: Source, common: Sequence[Change], points: Sequence[Sequence[Change]], seeds: Sequence[int]
) -> list[Variant]:
    """Every point with every seed, seeds fastest. Nothing is played unless all of them are good.

    Raises InvalidScenario with every problem of every point, each once and with the first point that has it.
    """
    found: list[Variant] = []
    problems: dict[Problem, list[int]] = {}
    for number, point in enumerate(points):
        try:
            scenario = _good(source, (*common, *point), seeds[0])
        except InvalidScenario as error:
            for problem in error.problems:
                problems.setdefault(problem, []).append(number)
            continue
        first = number * len(seeds)
        found += [Variant(first + offset, scenario, seed) for offset, seed in enumerate(seeds)]
    if problems:
        raise InvalidScenario(_told(problem, numbers, points) for problem, numbers in problems.items())
    return found


def _good(source: Source, changes: Sequence[Change], seed: int) -> Scenario:
    scenario = source.scenario(changes)
    try:
        # What the world can play depends on the platform and the faults: on the point, never on the seed.
        refuse_unsupported(SimulatedWorld(), plan(scenario, seed))
    except UnsupportedPlan as error:
        raise InvalidScenario([Problem(str(source.path), None, str(error))]) from error
    return scenario


def _told(problem: Problem, numbers: Sequence[int], points: Sequence[Sequence[Change]]) -> Problem:
    if len(numbers) == len(points):
        return problem
    first = ", ".join(f"{key}={value}" for key, value in values_of(points[numbers[0]]).items())
    where = f"in {len(numbers)} of {len(points)} combinations, the first: {first}"
    return replace(problem, message=f"{problem.message} ({where})")
