"""One variant played and judged: a row of plain values, which depend on the scenario and the seed alone."""

from pathlib import Path
from typing import Any

from scenarios.checks import Outcome, judge_all, overall
from scenarios.checks.metrics import all_metrics
from scenarios.history import history_sha256
from scenarios.plan import plan
from scenarios.runfolder import RunFolder
from scenarios.sweep.variants import Variant
from scenarios.thresholds import metric_names
from scenarios.worlds.base import SilentProgress
from scenarios.worlds.simulated import SimulatedWorld
from simulator.calibration import Calibration

Row = dict[str, Any]
INFINITE = float("inf")
NOWHERE = RunFolder(Path("the-simulated-world-writes-nothing"))


def play(variant: Variant, calibration: Calibration | None = None) -> Row:
    """number, seed, verdict, the checks that failed, the digest of the history, and every metric.

    A metric that had nothing to measure is None; one that never came to an end (a recovery) is infinite. `calibration`:
    what things cost; None: as shipped.
    """
    planned = plan(variant.scenario, variant.seed)
    history = SimulatedWorld(calibration).play(planned, NOWHERE, SilentProgress())
    checks, metrics = judge_all(history, variant.scenario.expect), all_metrics(history)
    failed = [each.name for each in checks if each.verdict is not Outcome.PASS]
    return {
        "variant": variant.number,
        "seed": variant.seed,
        "verdict": overall(checks).value,
        "failed": "; ".join(failed),
        "history_sha256": history_sha256(history),
        **{name: _measured(metrics, name) for name in metric_names()},
    }


def _measured(metrics: dict[str, float | None], name: str) -> float | None:
    if name not in metrics:
        return None
    value = metrics[name]
    return INFINITE if value is None else float(value)
