"""Where the mutants come from: `tests/mutants` of a checkout, loaded by name so that nothing shipped depends on it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Protocol

import scenarios
from scenarios.errors import LabError
from scenarios.mutants.attack import Instrument


class Mutant(Protocol):
    """A planted bug, as `tests/mutants/patching.py` has it."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def bug(self) -> str:
        """What is wrong, in one sentence."""

    @property
    def patches(self) -> str:
        """Which shipped code it changes."""

    @property
    def killed_by(self) -> tuple[str, ...]:
        """The instruments that are expected to notice."""


class Planted(Protocol):
    """The registry: every mutant by name, how to become one, and the instrument that came with them."""

    MUTANTS: Mapping[str, Mutant]
    mutated: Callable[[str], AbstractContextManager[None]]
    INSTRUMENTS: Mapping[str, Instrument]


class NotPlanted(LabError):
    """There are no mutants here: paylab was installed without its tests, or without what they need."""


def planted() -> Planted:
    """The mutants of this checkout. Raises NotPlanted."""
    root = Path(scenarios.__file__).resolve().parents[1]
    if not (root / "tests" / "mutants" / "registry.py").is_file():
        raise NotPlanted(
            f"`paylab mutants` needs a checkout of paylab: there is no tests/mutants in {root}. "
            "Mutants are kept with the tests and are not installed."
        )
    _use_tests_of(root)
    try:
        registry: Planted = importlib.import_module("tests.mutants.registry")
    except ImportError as error:
        raise NotPlanted(
            f"the mutants in {root / 'tests' / 'mutants'} cannot be loaded: {error}; "
            "they need the extras `services`, `lab` and `dev`"
        ) from error
    return registry


def _use_tests_of(root: Path) -> None:
    """Let `tests` be this checkout's, whatever else was installed under that name."""
    folder = str(root / "tests")
    known = sys.modules.get("tests")
    if known is None or folder not in getattr(known, "__path__", ()):
        ours = ModuleType("tests")
        ours.__path__ = [folder]
        sys.modules["tests"] = ours
