"""A whole calibration: play, read, fit, and put it into a document."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scenarios import history as histories
from scenarios.calibrate import experiments, machine, probe, surroundings
from scenarios.calibrate.document import document
from scenarios.calibrate.experiments import Experiment, Pace
from scenarios.calibrate.fitting import demands
from scenarios.calibrate.graph import Graph, Place, graph
from scenarios.calibrate.simulated_graph import simulated_graph
from scenarios.calibrate.waiting import Waiting, waiting
from scenarios.calibrate.windows import windows
from scenarios.history import History
from scenarios.plan import Plan
from scenarios.runfolder import RunFolder, RunState, create
from scenarios.worlds.base import Progress, SilentProgress, World
from scenarios.worlds.simulated import SimulatedWorld
from settlement.settings import SETTINGS
from simulator import calibration

# Beyond this, strangers on the machine make requests late. CPU accounts do not mind; times do, and are not used then.
OTHERS_CORES_MAX = 0.15
NOISY = "the machine was not quiet"
# A gap between model and reality that is worth a sentence, as a share of the real median.
EXCESS_SHARE = 0.1

ProgressOf = Callable[[Plan, World], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Calibrated:
    """The document, and the medians (real, model) of every operation that the waits were fitted to."""

    document: dict[str, Any]
    medians_s: Mapping[str, tuple[float, float]]


def calibrate(world: World, pace: Pace, seed: int, parent: Path, progress_of: ProgressOf) -> Calibrated:
    """Play the experiments in `world`, keep the runs under `parent`. Raises WorldError, RunFolderError."""
    simulated = isinstance(world, SimulatedWorld)
    assumed = (world.calibration if isinstance(world, SimulatedWorld) else None) or calibration.load()
    experiment = experiments.measured(pace, seed, singles=not simulated)
    busy_s, began_s = machine.busy_cpu_s(), time.monotonic()
    history = play(world, experiment, parent, progress_of)
    others = 0.0 if simulated else _others(history, machine.busy_cpu_s() - busy_s, time.monotonic() - began_s)
    if simulated:
        calls = simulated_graph(experiment.plan, assumed)
    else:
        calls = graph(play(world, experiments.traced(pace, seed), parent, progress_of))
    commits = probe.commits(parent) if world.name == "processes" else None
    return fitted(history, experiment, calls, commits, assumed, _about(world, others))


def fitted(
    history: History,
    experiment: Experiment,
    calls: Graph,
    commits: probe.Commits | None,
    assumed: calibration.Calibration,
    about: Mapping[str, Any],
) -> Calibrated:
    """The fit alone: a function of what was seen (and of the model, for what is left to waiting)."""
    seen = windows(history, experiment.segments)
    first = surroundings.measured(history, seen, calls, 0.0, commits, assumed)
    found = demands(seen, calls, first.commit_cpu_s.value, history.plan.platform.topology)
    measured = surroundings.measured(history, seen, calls, found.call.estimate.value, commits, assumed)

    def simulate(waits_s: Mapping[Place, float]) -> History:
        costs = calibration.from_document(document(found, replace(measured, waits_s=waits_s), calls, {}))
        plan = replace(experiment.plan, arrivals=experiments.whole_journeys(experiment.plan.arrivals), faults=())
        return SimulatedWorld(costs).play(plan, RunFolder(Path()), SilentProgress())

    if not _is_quiet(about):
        noise = [f"{NOISY}: other programs used {about['others_cores']:.2f} cores; waits and variations are assumed"]
        return Calibrated(document(found, replace(measured, variations={}), calls, about, noise), {})
    waits = waiting(history, experiment.segments, calls, simulate)
    whole = replace(measured, waits_s=waits.waits_s)
    return Calibrated(document(found, whole, calls, about, _excesses(waits)), waits.medians_s)


def play(world: World, experiment: Experiment, parent: Path, progress_of: ProgressOf) -> History:
    """One experiment into a folder of its own."""
    folder = create(parent, experiment.plan.scenario)
    folder.plan.write_text(experiment.plan.to_json(), encoding="utf-8")
    with progress_of(experiment.plan, world) as progress:
        history = world.play(experiment.plan, folder, progress)
    histories.write(history, folder.path)
    folder.set_state(RunState.FINISHED)
    return history


def keep(calibrated: Calibrated, path: Path) -> None:
    """Write the document. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(calibrated.document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _about(world: World, others_cores: float) -> dict[str, Any]:
    said = machine.description()
    return {
        "about": f"Fitted by paylab calibrate in the world {world.name} on {said['machine']['cpu']}.",
        "world": world.name,
        **said,
        "others_cores": round(others_cores, 3),
        "pools": _pools(world.name),
    }


def _pools(world: str) -> dict[str, Any]:
    """Connections a replica has to its database: one writer when embedded, else as configured."""
    if world != "compose":
        return {"writers": 1}
    names = [name for name in SETTINGS if name.startswith("database.pool")]
    return {name: SETTINGS[name].default for name in names}


def _others(history: History, busy_cpu_s: float, elapsed_s: float) -> float:
    return surroundings.others_cores(busy_cpu_s, elapsed_s, history)


def _is_quiet(about: Mapping[str, Any]) -> bool:
    return float(about.get("others_cores", 0.0)) <= OTHERS_CORES_MAX


def _excesses(waits: Waiting) -> list[str]:
    return [
        f"{what}: the model takes {1000 * excess_s:.1f} ms longer than the real platform at low load"
        for what, excess_s in sorted(waits.excess_s.items())
        if excess_s > EXCESS_SHARE * waits.medians_s[what][0]
    ]
