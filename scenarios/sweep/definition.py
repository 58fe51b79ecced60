"""Sweep files: what `paylab sweep` takes as options, written down. Every problem is reported at its line.

scenario: baseline
set: {load.stages.1.for: 10s}
vary:
  platform.replicas.order: [1, 2]
  load.stages.0.rate: 20:60:20
seeds: 1:5
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from scenarios.fields import nearest
from scenarios.spec import Change, InvalidScenario, Problem, Source, open_scenario
from scenarios.spec.document import Document
from scenarios.spec.loading import read_file
from scenarios.spec.problems import Place, dotted, shown
from scenarios.sweep.axes import Axis, UnusableAxis, axis, checked_seeds, read_seeds
from scenarios.sweep.design import LATIN, Design, Sampling

KEYS = ("scenario", "set", "vary", "variants", "seeds", "samples", "sampling", "sample_seed")
Read = TypeVar("Read")


def read_sweep(path: Path) -> tuple[Source, Design]:
    """The scenario and the design of a sweep file. Raises InvalidScenario with every problem."""
    return _Reader(path, read_file(path)).read()


class _Reader:
    def __init__(self, path: Path, document: Document) -> None:
        self._path, self._document = path, document
        self._problems: list[Problem] = []

    def read(self) -> tuple[Source, Design]:
        data = self._document.data
        for line, place, text in self._document.problems:
            self._problems.append(Problem(str(self._path), line, f"{dotted(place)}: {text}"))
        if not isinstance(data, dict):
            self._refuse((), f"{shown(data)} is no sweep; expected keys: {', '.join(KEYS)}")
            raise InvalidScenario(self._problems)
        for key in data:
            if key not in KEYS:
                self._refuse((key,), f"unknown key; {nearest(str(key), KEYS)}expected one of {', '.join(KEYS)}")
        design = self._design(data)
        source = self._source(data.get("scenario"))
        if self._problems or source is None:
            raise InvalidScenario(sorted(self._problems, key=lambda problem: problem.line or 0))
        return source, design

    def _design(self, data: dict[str, Any]) -> Design:
        return Design(
            changes=tuple(self._changes(data.get("set", {}), ("set",))),
            axes=tuple(self._axes(data.get("vary", {}))),
            listed=tuple(self._listed(data.get("variants", []))),
            seeds=self._tried(("seeds",), lambda: _seeds(data.get("seeds", [1])), (1,)),
            sampling=self._sampling(data),
        )

    def _source(self, scenario: object) -> Source | None:
        if not isinstance(scenario, str):
            self._refuse(("scenario",), "is missing; expected a catalogue name or a file, relative to this one")
            return None
        beside = self._path.parent / scenario
        try:
            return open_scenario(beside if beside.is_file() else scenario)
        except InvalidScenario as error:
            self._problems += error.problems
            return None

    def _changes(self, mapping: object, place: Place) -> Iterator[Change]:
        if not isinstance(mapping, dict):
            self._refuse(place, f"{shown(mapping)} does not fit; expected keys as in --set, with values")
            return
        for key, value in mapping.items():
            yield Change(str(key), value, str(self._path), self._document.line((*place, key)))

    def _axes(self, mapping: object) -> Iterator[Axis]:
        for change in self._changes(mapping, ("vary",)):
            nothing: list[Axis] = []
            yield from self._tried(("vary", change.key), partial(_axes_of, change), nothing)

    def _listed(self, points: object) -> Iterator[tuple[Change, ...]]:
        if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
            self._refuse(("variants",), "does not fit; expected a list of keys with values")
            return
        for number, point in enumerate(points):
            if set(point) != set(points[0]):
                self._refuse(("variants", number), f"expected the keys of the first: {', '.join(map(str, points[0]))}")
            yield tuple(self._changes(point, ("variants", number)))

    def _sampling(self, data: dict[str, Any]) -> Sampling | None:
        count, seed = data.get("samples"), data.get("sample_seed", 1)
        for key, value in (("samples", count), ("sample_seed", seed)):
            if value is not None and (not isinstance(value, int) or value < 0):
                self._refuse((key,), f"{shown(value)} does not fit; expected a whole number")
                return None
        return None if count is None else Sampling(count, str(data.get("sampling", LATIN)), seed)

    def _tried(self, place: Place, read: Callable[[], Read], instead: Read) -> Read:
        try:
            return read()
        except UnusableAxis as error:
            self._refuse(place, str(error))
            return instead

    def _refuse(self, place: Place, message: str) -> None:
        text = f"{dotted(place)}: {message}" if place else message
        self._problems.append(Problem(str(self._path), self._document.line(place), text))


def _seeds(value: object) -> tuple[int, ...]:
    if isinstance(value, list):
        return checked_seeds(value)
    return read_seeds(str(value))


def _axes_of(change: Change) -> list[Axis]:
    values = change.value if isinstance(change.value, list | str) else [change.value]
    return [axis(change.key, values, change.file, change.line)]
