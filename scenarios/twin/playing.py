"""Plays held-out scenarios in both worlds, plan by plan, and keeps what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scenarios import history as histories
from scenarios import plan as plans
from scenarios.calibrate import speed
from scenarios.calibrate.machine import cores
from scenarios.calibrate.quiet import ProgressOf, watching
from scenarios.errors import BadInput
from scenarios.plan import Plan
from scenarios.runfolder import RunFolder, RunState, create
from scenarios.spec import Scenario, load_scenario
from scenarios.twin.scorecard import Measured, Row, measured, scorecard, verdict_of
from scenarios.twin.stored import StoredWorld, run_name
from scenarios.worlds import topology_in
from scenarios.worlds.base import SilentProgress, World, refuse_unsupported
from scenarios.worlds.simulated import SimulatedWorld
from simulator import calibration as calibrations
from simulator.speed import SpeedRecord

HELD_OUT = Path(__file__).with_name("held_out")


class NoSuchHeldOut(BadInput):
    """There is no held-out scenario of that name; the message lists those there are."""


@dataclass(frozen=True)
class Twin:
    """A scorecard, and what it is about."""

    world: str
    calibration: str
    seeds: Sequence[int]
    rows: list[Row]

    @property
    def verdict(self) -> str:
        """pass, fail, or invalid where reality was disturbed."""
        return verdict_of(self.rows)

    def to_json(self) -> dict[str, Any]:
        """What twin.json holds."""
        return {
            "world": self.world,
            "calibration": self.calibration,
            "seeds": list(self.seeds),
            "verdict": self.verdict,
            "rows": [row.to_json() for row in self.rows],
        }


def held_out(names: Sequence[str] = (), overrides: Sequence[str] = (), world: str = "processes") -> list[Scenario]:
    """The scenarios of these names, or all, as `world` can play them. Raises NoSuchHeldOut, InvalidScenario."""
    known = sorted(path.stem for path in HELD_OUT.glob("*.yaml"))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NoSuchHeldOut(f"no held-out scenario {', '.join(unknown)}; there are {', '.join(known)}")
    apart = topology_in(world, "")
    changes = [*([f"platform.topology={apart}"] if apart else []), *overrides]
    return [load_scenario(HELD_OUT / f"{name}.yaml", changes) for name in dict.fromkeys(names) or known]


def play(
    real: World,
    model: SimulatedWorld,
    scenarios: Sequence[Scenario],
    seeds: Sequence[int],
    parent: Path,
    progress_of: ProgressOf,
    tell: Callable[[list[Row]], None],
    calibration: str = "shipped",
) -> Twin:
    """Every scenario with every seed in both worlds; `tell` hears of each when its last run is over. Raises WorldError.

    All scenarios with the first seed, then all with the second: a slow minute of the machine meets one run of each, not
    all runs of one.
    """
    for scenario in scenarios:
        for world in (model,) if isinstance(real, StoredWorld) else (real, model):
            refuse_unsupported(world, plans.plan(scenario, seeds[0]))
    pairs: dict[str, list[tuple[Measured, Measured]]] = {scenario.name: [] for scenario in scenarios}
    rows: list[Row] = []
    for seed in seeds:
        for scenario in scenarios:
            found = pairs[scenario.name]
            found.append(_pair(real, model, plans.plan(scenario, seed), parent, progress_of))
            if len(found) == len(seeds):
                judged = scorecard(scenario.name, [each[0] for each in found], [each[1] for each in found])
                tell(judged)
                rows += judged
    return Twin(real.name, calibration, seeds, rows)


def keep(twin: Twin, folder: Path) -> Path:
    """Write twin.json; returns it."""
    path = folder / "twin.json"
    path.write_text(json.dumps(twin.to_json(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _pair(
    real: World, model: SimulatedWorld, plan: Plan, parent: Path, progress_of: ProgressOf
) -> tuple[Measured, Measured]:
    if isinstance(real, StoredWorld):
        history = real.play(plan, RunFolder(parent), SilentProgress())
        found = measured(history, cores(), real.others_cores(plan))
        return found, _predicted(model, plan, real.speed(plan))
    folder = create(parent, run_name(plan))
    folder.plan.write_text(plan.to_json(), encoding="utf-8")
    with watching(progress_of, plan, real) as watch:
        history = real.play(plan, folder, watch)
    histories.write(history, folder.path)
    others, recorded = 0.0, None
    if not isinstance(real, SimulatedWorld):
        others, recorded = watch.mean_others_cores(history), watch.record(history)
    folder.set_state(RunState.FINISHED, others_cores=round(others, 3))
    speed.keep(recorded, folder.path)
    return measured(history, cores(), others), _predicted(model, plan, recorded)


def _predicted(model: SimulatedWorld, plan: Plan, record: SpeedRecord | None) -> Measured:
    """For a machine as fast as it was then, if that is known."""
    costs = model.calibration or calibrations.load()
    world = replace(model, calibration=costs.while_it_was(record) if record else costs)
    return measured(world.play(plan, RunFolder(Path()), SilentProgress()), cores())


def by_scenario(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    """The rows of each scenario together, in order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.scenario, []).append(row)
    return found
