"""The part of the twin that no machine decides: where the channel dominates, payments take what is predicted."""

from __future__ import annotations

from pathlib import Path

from scenarios.plan import plan
from scenarios.runfolder import RunFolder
from scenarios.spec import load_scenario
from scenarios.twin.playing import HELD_OUT
from scenarios.worlds.base import SilentProgress
from scenarios.worlds.simulated import SimulatedWorld

from .playing import SEED, played

# The client waits for one answer of the channel, 400 ms (a capture follows the client's answer). The machine adds what
# it adds: 15 % were seen on one with eight programs to a core.
WIDEST = 0.25
SHORT = ("load.stages=[{rate: 5, for: 10s}]",)


def test_payments_take_what_the_model_says_when_the_channel_dominates(tmp_path: Path) -> None:
    path = HELD_OUT / "channel-dominates.yaml"
    real = played(tmp_path, path, SHORT)
    model = SimulatedWorld().play(plan(load_scenario(path, SHORT), SEED), RunFolder(tmp_path), SilentProgress())
    for history in (real, model):
        payments = history["payments"]
        assert set(payments.outcome) == {"ok"}
    for method in ("card", "wallet"):
        took_s = [_median_s(history["payments"], method) for history in (real, model)]
        assert abs(took_s[1] - took_s[0]) <= WIDEST * took_s[0], (method, took_s)
    assert len(real["payments"]) == len(model["payments"])


def _median_s(payments: object, method: str) -> float:
    table = payments[payments["method"] == method]  # type: ignore[index]
    return float((table["ended_s"] - table["intended_s"]).median())
