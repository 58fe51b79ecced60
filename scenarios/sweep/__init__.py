"""Sweeps: thousands of variants of one scenario in the simulated world, as one table.

from scenarios.sweep import sweep

done = sweep("baseline", {"load.stages.1.rate": "20:80:20", "platform.replicas.gateway": [1, 2]}, seeds=range(1, 6))
done.table                                   # a row a variant: its values, seed, verdict, every metric
done.estimates("latency.pay.p99")            # means over the seeds with intervals
done.difference("throughput.settled", {...}, {...})    # seed by seed: they met the same customers
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scenarios.spec import Change, open_scenario
from scenarios.sweep.axes import axis, checked_seeds
from scenarios.sweep.design import Design, Sampling
from scenarios.sweep.results import Results
from scenarios.sweep.running import Progress, Sweep, Watch, Workers, prepare, resume

__all__ = ["Design", "Progress", "Results", "Sampling", "Sweep", "Workers", "prepare", "resume", "sweep"]


def sweep(
    scenario: str | Path,
    vary: Mapping[str, str | Iterable[Any]],
    *,
    seeds: Iterable[int] = (1,),
    changes: Mapping[str, Any] | None = None,
    sampling: Sampling | None = None,
    calibration: Path | None = None,
    workers: Workers = Workers(),  # noqa: B008 - frozen
    parent: Path = Path("runs"),
    watch: Watch | None = None,
) -> Results:
    """Play every combination of `vary` (or a sample) with every seed; kept in a folder under `parent`.

    `vary`: values as lists, or as text like `20:200:20`; `changes`: what is the same for all, as `--set` has it;
    `calibration`: what things cost, as `paylab calibrate` writes it.
    Raises InvalidScenario and UnusableAxis with every problem before anything is played.
    """
    common = tuple(Change(key, value, "changes") for key, value in (changes or {}).items())
    axes = tuple(axis(key, values, "vary") for key, values in vary.items())
    design = Design(common, axes, seeds=checked_seeds(seeds), sampling=sampling)
    return prepare(open_scenario(scenario), design, parent, calibration).run(workers, watch)
