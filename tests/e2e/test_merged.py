"""The merged topology: services that share a process behave as they do apart."""

from __future__ import annotations

from pathlib import Path

from settlement.topology import SERVICES

from .playing import played, verdicts


def test_the_baseline_passes_with_usercenter_and_order_in_one_process(tmp_path: Path) -> None:
    history = played(
        tmp_path,
        "baseline",
        ("platform.topology=merged", "load.stages=[{rate: 8, for: 5s}]", "phases={warmup: 1s, recovery: 2s}"),
    )
    assert set(verdicts(history).values()) == {"pass"}, verdicts(history)
    assert history.meta["unresolved"] == {}
    assert set(history["services"].query("event == 'ready'").service) == set(SERVICES)
    assert "usercenter-0+order-0" in set(history["resources"].process)
    payments = history["payments"].query("kind == 'pay'")
    assert len(payments) > 15
    assert set(payments.outcome) == {"ok"}
