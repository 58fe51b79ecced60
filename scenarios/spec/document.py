"""YAML text as plain data, with the line of every value, and every duplicate key found.

The text is composed into YAML's own node tree, which knows positions, and the tree is walked once: that finds all
duplicate keys at once, where a constructor stops at the first.
"""

from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.reader import ReaderError

from scenarios.spec.problems import Place, shown

VALUES_MAX = 20_000  # a scenario has tens; the bound is for aliases that multiply
DEPTH_MAX = 20


class UnreadableDocument(Exception):
    """Text that is no YAML document; `line` is where the reader gave up."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass
class Document:
    """`data` as dicts, lists and scalars; `lines` by place, from 1; `problems` as (line, place, message)."""

    data: Any
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[tuple[int, Place, str]] = field(default_factory=list)

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest one that contains it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_document(text: str) -> Document:
    """Read one YAML document. Raises UnreadableDocument."""
    try:
        node = YAML(typ="safe", pure=True).compose(StringIO(text))
        if node is None:
            raise UnreadableDocument(1, "is empty; expected a scenario, with name, question, load and expect")
        document = Document(data=None)
        _walk(node, (), document)
        document.data = _data(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableDocument(
            mark.line + 1 if mark else 1, f"is no YAML: {error.problem or error.context}"
        ) from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableDocument(line, f"is no YAML: the character {error.character!r} is not allowed") from error
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        raise UnreadableDocument(1, f"is no YAML: {str(error) or type(error).__name__}") from error
    return document


def _data(text: str) -> Any:
    reader = YAML(typ="safe", pure=True)
    reader.allow_duplicate_keys = True  # reported by the walk, all of them
    return reader.load(StringIO(text))


def _walk(node: Node, place: Place, document: Document) -> None:
    if len(place) > DEPTH_MAX or len(document.lines) > VALUES_MAX:
        raise UnreadableDocument(node.start_mark.line + 1, "is nested too deeply or repeats itself without end")
    document.lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*place, index), document)
    elif isinstance(node, MappingNode):
        _walk_mapping(node, place, document)


def _walk_mapping(node: MappingNode, place: Place, document: Document) -> None:
    seen: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        inner = (*place, name)
        if name in seen:
            document.problems.append(
                (line, inner, f"is given twice; expected once (it is on line {seen[name]} already)")
            )
        elif not isinstance(key.value, str) or not key.tag.endswith(":str"):
            document.problems.append((line, inner, f"{shown(key.value)} is no key; expected text"))
        seen.setdefault(name, line)
        document.lines[inner] = line
        _walk(value, inner, document)
