"""The list of planted bugs: each says what it is, changes shipped code, and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from settlement.protocol import coordinator, lease, participant
from tests.children import importing_first
from tests.mutants.registry import MUTANTS, mutated

START = Path(__file__).parent / "start"


def rules():
    tables = (coordinator.TRANSITIONS, participant.TRANSITIONS)
    entries = [(event, entry) for table in tables for events in table.values() for event, entry in events.items()]
    return [*entries, coordinator._decide, lease.claim]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_says_what_is_wrong_and_who_will_notice(name):
    mutant = MUTANTS[name]
    assert mutant.bug.endswith(".")
    assert mutant.patches
    assert mutant.killed_by


def test_patches_change_something_and_leave_nothing_behind():
    before = rules()
    for name, mutant in MUTANTS.items():
        with mutated(name):
            assert not mutant.patches.startswith("protocol.") or rules() != before
        assert rules() == before, name


def test_the_document_has_every_mutant_in_its_words():
    text = (Path(__file__).parents[2] / "docs" / "mutants.md").read_text(encoding="utf-8")
    missing = [mutant.name for mutant in MUTANTS.values() if f"| `{mutant.name}` | {mutant.bug[:-1]} |" not in text]
    assert not missing


def test_a_process_that_somebody_else_starts_is_wrong_too(tmp_path):
    """What the real services get: `sitecustomize.py` in a folder on PYTHONPATH, whatever else is called `tests`."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").touch()
    ask = "from settlement.protocol import coordinator as c; print(c._decide.__qualname__)"
    path = os.pathsep.join((str(tmp_path), importing_first(START)))
    environment = {**os.environ, "PYTHONPATH": path, "PAYLAB_MUTANT": "decision_before_durable"}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "decision_before_durable" in done.stdout
