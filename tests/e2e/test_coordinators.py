"""A gateway that sleeps past its lease, among real processes: it wakes up, wants to go on, and is refused."""

from __future__ import annotations

from pathlib import Path

from scenarios.checks import blocking

from .playing import played, verdicts

SLEEPER = """
name: sleeper
question: Does a gateway that was paused past its lease do any harm when it wakes up?
platform:
  replicas: {gateway: 2}
  settings: {gateway.prepare_timeout_ms: 900, gateway.lease_ms: 1000, channel.latency_ms: 400}
load:
  {kind: open, mix: {pay: 100}, methods: {card: 50, wallet: 50}, pool: 60, stages: [{rate: 8, for: 8s}]}
phases: {warmup: 500ms, recovery: 3s}
faults:
  - {at: 2s, for: 3s, kind: pause, service: gateway, replica: 0}
  - {at: 6s, for: 3s, kind: pause, service: gateway, replica: 1}
expect: [atomic, money_conserved, client_truth]
"""


def test_who_wakes_up_after_a_take_over_is_fenced_and_every_payment_is_right(tmp_path: Path) -> None:
    scenario = tmp_path / "sleeper.yaml"
    scenario.write_text(SLEEPER, encoding="utf-8")
    history = played(tmp_path, scenario)
    assert blocking.takeovers(history) >= 1
    assert blocking.fenced(history) >= 1
    assert verdicts(history) == {
        "atomic": "pass", "money_conserved": "pass", "client_truth": "pass", "events_delivered": "pass"
    }  # fmt: skip
