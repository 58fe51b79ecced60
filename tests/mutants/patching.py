"""What a mutant is made of: a name, a bug in one sentence, and a small patch of the shipped code that can be undone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from settlement.protocol.transitions import Outcome, Transition

Undo = Callable[[], None]
Apply = Callable[[], Undo]

PATCHED_PACKAGES = ("settlement.", "simulator.")


@dataclass(frozen=True)
class Mutant:
    """One bug. `patches`: the shipped code that it changes. `killed_by`: the instruments that have to notice.

    `apply` changes the code in this process and returns how to undo it.
    """

    name: str
    bug: str
    patches: str
    killed_by: tuple[str, ...]
    apply: Apply


def mutant(patches: str, killed_by: Sequence[str], into: dict[str, Mutant]) -> Callable[[Apply], Apply]:
    """Register a patch under its function's name; the first sentence of its docstring is the bug."""

    def register(apply: Apply) -> Apply:
        name = apply.__name__
        assert name not in into, f"two mutants are called {name}"
        bug = " ".join((apply.__doc__ or "").split("\n\n")[0].split())
        into[name] = Mutant(name, bug, patches, tuple(killed_by), apply)
        return apply

    return register


def attribute(owner: Any, name: str, value: Any) -> Undo:
    """Replace an attribute of a module or class."""
    before = owner.__dict__[name]
    setattr(owner, name, value)
    return lambda: setattr(owner, name, before)


def everywhere(shipped: Any, replacement: Any) -> Undo:
    """Replace something in every module that has imported it by name; who imports it later gets the replacement."""
    owners = [
        (module, name)
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith(PATCHED_PACKAGES)
        for name, value in vars(module).copy().items()
        if value is shipped
    ]
    return together(*(attribute(module, name, replacement) for module, name in owners))


def rule(table: Any, phase: Any, event: type, new: Callable[[Any, Any], Any], *outcomes: Outcome) -> Undo:
    """Replace one rule of a role's table, and declare what else it may lead to."""
    before = table[phase].get(event)
    table[phase][event] = Transition(new, (before.outcomes if before is not None else ()) + outcomes)

    def undo() -> None:
        if before is None:
            del table[phase][event]
        else:
            table[phase][event] = before

    return undo


def no_rule(table: Any, phase: Any, event: type) -> Undo:
    """Take one rule out of a role's table."""
    entries = dict(table[phase])
    del table[phase][event]

    def undo() -> None:
        table[phase].clear()
        table[phase].update(entries)  # in the old order, which other things are derived from

    return undo


def together(*undos: Undo) -> Undo:
    """Undo all of it, the last first."""

    def undo() -> None:
        for each in reversed(undos):
            each()

    return undo
