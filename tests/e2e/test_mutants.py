"""The lab against a wrong protocol in the real services: the catalogue's scenarios, shortened, must fail with it.

What a mutant is stands in `tests/mutants`; here `start` in it is on PYTHONPATH of every service. That the same
scenarios pass without it is shown wherever the catalogue itself is played.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.worlds.processes import ProcessesWorld
from tests.children import importing_first

from .playing import played, verdicts

START = Path(__file__).parents[1] / "mutants" / "start"
CRASH_UNDECIDED = "kind: crash_at, service: gateway, point: coordinator.decided.persist.before, restart_after: 500ms"
LOSE_REPLIES = "kind: drop_reply, from: payment, to: channel"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a wrong protocol leaves unresolved stays unresolved: waiting for it shows nothing more."""
    monkeypatch.setattr("scenarios.worlds.running.SETTLE_S_MAX", 2.0)


def judged(folder: Path, mutant: str, scenario: str, *overrides: str) -> dict[str, str]:
    environment = {"PYTHONPATH": importing_first(START), "PAYLAB_MUTANT": mutant}
    world = ProcessesWorld(extra_environment=environment)
    history = played(folder, scenario, overrides, world=world)
    assert (history["faults"].hits > 0).all()
    return verdicts(history)


def test_telling_a_decision_before_it_is_durable_breaks_atomicity(tmp_path: Path) -> None:
    found = judged(
        tmp_path,
        "decision_before_durable",
        "coordinator-crash",
        "load.stages=[{rate: 12, for: 7s}]",
        "phases={warmup: 1s, recovery: 3s}",
        f"faults=[{{at: 1s, {CRASH_UNDECIDED}}}, {{at: 4s, {CRASH_UNDECIDED}}}]",
    )
    assert "fail" in (found["atomic"], found["money_conserved"])


def test_taking_a_timeout_for_a_failure_loses_money(tmp_path: Path) -> None:
    found = judged(
        tmp_path,
        "timeout_is_failure",
        "channel-lost-reply",
        "load.stages=[{rate: 12, for: 6500ms}]",
        "phases={warmup: 1s, recovery: 3s}",
        f"faults=[{{at: 1500ms, for: 2s, path: /wallet, share: 0.33, {LOSE_REPLIES}}},"
        f" {{at: 3500ms, for: 2s, {LOSE_REPLIES}}}]",
    )
    assert found["money_conserved"] == "fail"
