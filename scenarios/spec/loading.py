"""From a name or a file to a good scenario, or to everything that is wrong with it."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scenarios.faults import FAULTS
from scenarios.fields import nearest
from scenarios.spec.catalogue import catalogue_names, catalogue_path
from scenarios.spec.crosschecks import cross_problems, load_length_s
from scenarios.spec.document import Document, UnreadableDocument, read_document
from scenarios.spec.model import Scenario
from scenarios.spec.overrides import OVERRIDE_FILE, Change, UnusableOverride, apply_override, parse_override
from scenarios.spec.problems import InvalidScenario, Place, Problem, dotted, keys_of, model_problems, shown
from scenarios.spec.salvage import salvage

BYTES_MAX = 1_000_000


@dataclass(frozen=True)
class Source:
    """A scenario as it was written, good or not: read once, and changed as often as one likes."""

    path: Path
    document: Document

    def scenario(self, changes: Sequence[str | Change] = ()) -> Scenario:
        """The scenario with `changes`, given as `key=value` or already read.

        Raises InvalidScenario with every problem of file and changes.
        """
        data = deepcopy(self.document.data)
        problems = [
            Problem(str(self.path), line, f"{dotted(place)}: {text}") for line, place, text in self.document.problems
        ]
        changed = _apply(data, changes, problems) if isinstance(data, dict) else []
        for place, message in _problems(data):
            problems.append(_located(place, message, self.path, self.document, changed))
        if problems:
            ordered = sorted(dict.fromkeys(problems), key=lambda problem: _order(problem, self.path))
            raise InvalidScenario([*ordered, *_unchecked(self.path, data)])
        return Scenario.model_validate(data)


Changed = tuple[Place, Change]


def open_scenario(path_or_name: str | Path) -> Source:
    """The scenario of a catalogue name or a file, as it stands there. Raises InvalidScenario if it cannot be read."""
    path = find_scenario(str(path_or_name))
    return Source(path, read_file(path))


def load_scenario(path_or_name: str | Path, overrides: Sequence[str | Change] = ()) -> Scenario:
    """The scenario of a catalogue name or a file, changed by `key=value` overrides.

    Raises InvalidScenario with every problem of file and overrides.
    """
    return open_scenario(path_or_name).scenario(overrides)


def _apply(data: dict[str, Any], changes: Sequence[str | Change], problems: list[Problem]) -> list[Changed]:
    """Change `data`; what leads nowhere becomes a problem."""
    changed: list[Changed] = []
    for each in changes:
        file, line = (OVERRIDE_FILE, None) if isinstance(each, str) else (each.file, each.line)
        try:
            change = parse_override(each) if isinstance(each, str) else each
            changed.append((apply_override(data, change), change))
        except UnusableOverride as error:
            problems.append(Problem(file, line, str(error)))
    return changed


def find_scenario(path_or_name: str) -> Path:
    """The file meant by a catalogue name or a path. Raises InvalidScenario with the names there are."""
    if path_or_name in catalogue_names():
        return catalogue_path(path_or_name)
    path = Path(path_or_name)
    if "\0" not in path_or_name and (path.exists() or path.suffix in (".yaml", ".yml") or len(path.parts) > 1):
        return path
    names = catalogue_names()
    hint = nearest(path_or_name, names)
    message = f"no such scenario; {hint}expected a file, or one of {', '.join(names)}"
    raise InvalidScenario([Problem(shown(path_or_name), None, message)])


def read_file(path: Path) -> Document:
    """The YAML document in a file. Raises InvalidScenario if there is none."""
    try:
        text = _text(path)
        return read_document(text)
    except UnreadableDocument as error:
        raise InvalidScenario([Problem(str(path), error.line, error.message)]) from error
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise InvalidScenario([Problem(str(path), None, f"{reason}; expected a scenario file")]) from error


def _text(path: Path) -> str:
    if path.is_dir():
        raise IsADirectoryError(21, "is a directory")
    if path.exists() and not path.is_file():
        raise ValueError("is no regular file")
    with path.open("rb") as file:
        content = file.read(BYTES_MAX + 1)
    if len(content) > BYTES_MAX:
        raise ValueError(f"is larger than {BYTES_MAX} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8") from None


def _problems(data: Any) -> list[tuple[Place, str]]:
    if not isinstance(data, dict):
        return [((), f"{shown(data)} is no scenario; expected keys: {', '.join(keys_of(Scenario))}")]
    found = [*_field_problems(data), *_fault_problems(data.get("faults"))]
    return [*found, *cross_problems(salvage(data))]


def _unchecked(path: Path, data: Any) -> list[Problem]:
    """What could not be looked at because of the problems, so that nobody believes they were all."""
    if not isinstance(data, dict) or load_length_s(salvage(data)) is not None:
        return []
    return [Problem(str(path), None, "times were not checked against the run's length: fix load.stages first")]


def _field_problems(data: dict[Any, Any]) -> list[tuple[Place, str]]:
    written = {str(key): value for key, value in data.items()}
    if isinstance(written.get("faults"), list):
        written["faults"] = []  # one by one below: the model of each depends on its kind
    try:
        Scenario.model_validate(written)
    except ValidationError as error:
        return [(_without_marks(place), text) for place, text in model_problems(Scenario, error)]
    return []


def _without_marks(place: Place) -> Place:
    return tuple(key for key in place if key != "[key]")  # pydantic's mark for "the key itself"


def _fault_problems(faults: object) -> list[tuple[Place, str]]:
    found: list[tuple[Place, str]] = []
    for index, fault in enumerate(faults if isinstance(faults, list) else []):
        found += _one_fault(fault, ("faults", index))
    return found


def _one_fault(fault: object, place: Place) -> list[tuple[Place, str]]:
    if not isinstance(fault, dict):
        return [(place, f"{shown(fault)} is no fault; expected keys with values, like {{at: 10s, kind: kill, ...}}")]
    kind = fault.get("kind")
    if kind is None:
        return [(place, f"kind is missing; expected one of {', '.join(FAULTS)}")]
    if not isinstance(kind, str) or kind not in FAULTS:
        return [
            (
                (*place, "kind"),
                f"unknown fault {shown(kind)}; {nearest(str(kind), FAULTS)}expected one of {', '.join(FAULTS)}",
            )
        ]
    try:
        FAULTS[kind].model_validate({str(key): value for key, value in fault.items()})
    except ValidationError as error:
        return model_problems(FAULTS[kind], error, place)
    return []


def _located(place: Place, message: str, path: Path, document: Document, changed: list[Changed]) -> Problem:
    text = f"{dotted(place)}: {message}" if place else message
    for where, change in reversed(changed):  # the last one is what stands there
        if _comes_from(where, place, document):
            return Problem(change.file, change.line, text)
    return Problem(str(path), document.line(place), text)


def _comes_from(changed: Place, place: Place, document: Document) -> bool:
    """Whether what stands at `place` was written by the override at `changed`, or had to be made for it."""
    made_for_it = changed[: len(place)] == place and place not in document.lines
    return place[: len(changed)] == changed or bool(place and made_for_it)


def _order(problem: Problem, path: Path) -> tuple[bool, int]:
    return problem.file != str(path), problem.line or 0
