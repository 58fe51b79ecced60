"""Nothing is offered that does nothing: every setting is read, every switch asked, every metric set."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import settlement
from settlement.policies.degradation import SWITCHES
from settlement.settings import SETTINGS

ROOT = Path(settlement.__file__).parent
METRICS = {"Counter", "Gauge", "Histogram", "Info", "Summary"}
UPDATES = {"inc", "dec", "set", "observe", "set_function", "set_to_current_time", "labels", "info", "time"}


@cache
def _sources() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def _nodes(*, without: tuple[str, ...] = ()) -> Iterator[ast.AST]:
    for path, tree in _sources().items():
        if str(path.relative_to(ROOT)) not in without:
            yield from ast.walk(tree)


def _pattern(text: ast.JoinedStr) -> str:
    """What an f-string can become, as a regular expression."""
    return "".join(re.escape(part.value) if isinstance(part, ast.Constant) else "[a-z_]+" for part in text.values)


def test_every_setting_is_read_by_some_code() -> None:
    texts, patterns = set[str](), set[str]()
    # The catalogue declares settings, and the table of switches names those of `Degradation`.
    for node in _nodes(without=("settings.py",)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            patterns.add(_pattern(node))
    telling = [re.compile(pattern) for pattern in patterns if r"\." in pattern]
    idle = [name for name in SETTINGS if name not in texts and not any(found.fullmatch(name) for found in telling)]
    assert idle == [], "nothing reads these"


def test_every_degradation_switch_is_asked_by_some_service() -> None:
    asked = {
        argument.value
        for node in _nodes()
        if isinstance(node, ast.Call) and _name(node.func) in ("active", "LastAnswers")
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    assert set(SWITCHES) - asked == set()


def test_every_metric_is_set_by_some_code() -> None:
    everywhere = _used(_nodes())
    idle, count = [], 0
    for path, tree in _sources().items():
        here = _used(ast.walk(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and _is_metric(node.value, tree):
                count += 1
                name = _name(node.targets[0])
                # A name of its own may be used anywhere, others are used where they are made.
                idle += [] if name in (here if name.startswith("_") else everywhere) else [f"{path.name}: {name}"]
    assert count > 30, "metrics are made in some other way now"
    assert idle == []


def _used(nodes: Iterator[ast.AST]) -> set[str]:
    """Names that are updated, handed over or chosen from: `a` of `a.inc()`, `f(a)` and `a if x else b`."""
    found = set[str]()
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in UPDATES:
            found.add(_name(node.value))
        elif isinstance(node, ast.Call):
            found |= {_name(argument) for argument in node.args}
        elif isinstance(node, ast.IfExp):
            found |= {_name(node.body), _name(node.orelse)}
    return found


def _is_metric(node: ast.AST, tree: ast.Module) -> bool:
    """Whether this makes a Prometheus metric (other things are called Counter, too)."""
    if not (isinstance(node, ast.Call) and _name(node.func) in METRICS):
        return False
    return any(isinstance(found, ast.ImportFrom) and found.module == "prometheus_client" for found in ast.walk(tree))


def _name(node: ast.AST) -> str:
    """The last name of `a.b.c`; of anything else nothing."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
