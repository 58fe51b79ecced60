"""A whole calibration: play, read, fit, and put it into a document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy

from scenarios import history as histories
from scenarios.calibrate import experiments, machine, probe, speed, surroundings
from scenarios.calibrate.document import Measured, document
from scenarios.calibrate.experiments import Experiment, Pace, Segment
from scenarios.calibrate.fitting import Demands, demands
from scenarios.calibrate.graph import Graph, Place, graph
from scenarios.calibrate.quiet import MachineWatch, ProgressOf, quiet, watching
from scenarios.calibrate.simulated_graph import simulated_graph
from scenarios.calibrate.waiting import NOTHING, Waiting, waiting
from scenarios.calibrate.waking import WAKING_MIN_S, Wakings, wakings
from scenarios.calibrate.windows import Window, windows
from scenarios.history import History
from scenarios.runfolder import RunFolder, RunState, create
from scenarios.worlds import topology_in
from scenarios.worlds.base import SilentProgress, World
from scenarios.worlds.simulated import SimulatedWorld
from settlement.settings import SETTINGS
from simulator import calibration
from simulator.analysis.estimates import Estimate
from simulator.speed import SpeedRecord

# A gap between model and reality that is worth a sentence, as a share of the real median.
EXCESS_SHARE = 0.1
# Who sleeps how long depends on what everything costs, and the other way round.
WAKING_ROUNDS = 3


@dataclass(frozen=True)
class Seen:
    """What a calibration fits. `quiet`: segments whose times can be believed; `traced_quiet`: so can the graph's.

    `works_s`: what the speed probe's work took in each segment (nan: nobody looked), and `speed` at each moment.
    """

    history: History
    experiment: Experiment
    calls: Graph
    commits: probe.Commits | None
    quiet: Sequence[Segment]
    traced_quiet: bool
    works_s: Sequence[float]
    speed: SpeedRecord | None = None


@dataclass(frozen=True)
class Calibrated:
    """The document, and the medians (real, model) of every operation that the waits were fitted to."""

    document: dict[str, Any]
    medians_s: Mapping[str, tuple[float, float]]


def calibrate(world: World, pace: Pace, seed: int, parent: Path, progress_of: ProgressOf) -> Calibrated:
    """Play the experiments in `world`, keep the runs under `parent`. Raises WorldError, RunFolderError."""
    simulated = isinstance(world, SimulatedWorld)
    assumed = (world.calibration if isinstance(world, SimulatedWorld) else None) or calibration.load()
    if simulated:  # nobody records the speed of its cores
        world = SimulatedWorld(assumed.on_steady_cores())
    experiment = _in_its_topology(experiments.measured(pace, seed), world)
    history, watch = play(world, experiment, parent, progress_of)
    if simulated:
        others, works_s, alone = [0.0], [nan] * len(experiment.segments), True
        calls, silent = simulated_graph(experiment.plan, assumed), experiment.segments
    else:
        others, works_s = watch.others_cores(history, experiment.segments), watch.works_s(experiment.segments)
        silent = quiet(experiment.segments, others)
        traced = experiments.traced(pace, seed)
        recorded, strangers = play(world, traced, parent, progress_of)
        calls, alone = graph(recorded), bool(quiet(traced.segments, strangers.others_cores(recorded, traced.segments)))
    commits = probe.commits(parent) if world.name == "processes" else None
    recorded_speed = None if simulated else watch.record(history)
    seen = Seen(history, experiment, calls, commits, silent, alone, works_s, recorded_speed)
    return fitted(seen, assumed, {**_about(world), "others_cores": round(float(numpy.mean(others)), 3)})


def _in_its_topology(experiment: Experiment, world: World) -> Experiment:
    plan = experiment.plan
    topology = topology_in(world.name, plan.platform.topology)
    return replace(experiment, plan=replace(plan, platform=replace(plan.platform, topology=topology)))


def fitted(seen: Seen, assumed: calibration.Calibration, about: Mapping[str, Any]) -> Calibrated:
    """The fit alone: a function of what was seen (and of the model, for wake-ups, commits, and waiting).

    Twice: who waits longer for a commit sleeps longer, and waking costs CPU.
    """
    as_seen = windows(seen.history, seen.experiment.segments)
    felt = speed.elasticity(seen.works_s, as_seen)
    pairs = zip(as_seen, speed.relative(seen.works_s, felt.value), strict=True)
    accounts = [window.on_a_machine(slower) for window, slower in pairs]
    first = _explained(seen, assumed, accounts, felt, NOTHING)
    last = _explained(seen, assumed, accounts, felt, first.waits.commit_s)
    longer = replace(
        last.measured,
        waits_s=last.waits.waits_s,
        commit_wait_s=_in_services(last.measured.commit_wait_s, last.waits.commit_s),
    )
    whole = document(last.demands, longer, seen.calls, about, _notes(seen, last.waits))
    return Calibrated(whole, last.waits.medians_s)


@dataclass(frozen=True)
class _Explained:
    """Accounts and latencies, explained once."""

    demands: Demands
    measured: Measured
    waits: Waiting


def _explained(
    seen: Seen, assumed: calibration.Calibration, accounts: Sequence[Window], felt: Estimate, commit: Estimate
) -> _Explained:
    """`commit`: what a commit is known to wait longer in a service than alone."""
    history, calls = seen.history, seen.calls

    def surrounding(call_cpu_s: float) -> Measured:
        found = surroundings.measured(history, accounts, calls, call_cpu_s, seen.commits, assumed)
        return replace(
            found,
            speed=seen.speed,
            probe_s=speed.typical_s(seen.works_s),
            elasticity=felt,
            commit_wait_s=_in_services(found.commit_wait_s, commit),
        )

    first = surrounding(0.0)

    def explained(woke: Sequence[Wakings]) -> Demands:
        return demands(accounts, calls, first.commit_cpu_s.value, history.plan.platform.topology, woke)

    found = explained(())
    for _ in range(WAKING_ROUNDS):
        costs = calibration.from_document(document(found, first, calls, {}))
        found = explained(_wakings(costs, seen))
    measured = surrounding(found.call.estimate.value)
    if not seen.traced_quiet:
        measured = replace(measured, variations={}, hop_s=surroundings.known(assumed.hop_s))

    def simulate(waits_s: Mapping[Place, float], commit_s: float) -> History:
        costs = calibration.from_document(document(found, replace(measured, waits_s=waits_s), calls, {}))
        return _simulated(replace(costs, commit_wait_s=max(0.0, costs.commit_wait_s + commit_s)), seen)

    return _Explained(found, measured, waiting(history, seen.quiet, calls, simulate, history.world != "compose"))


def _in_services(alone: Estimate, longer: Estimate) -> Estimate:
    """What a commit waits in a service: as long as one alone, and what operations that commit lack for each.

    The interval is that of the operations, if any told; no wait is less than none.
    """
    if not longer.count:
        return alone
    value, low, high = (max(0.0, alone.value + each) for each in (longer.value, longer.low, longer.high))
    return Estimate(value, low, high, longer.count)


def _wakings(costs: calibration.Calibration, seen: Seen) -> list[Wakings]:
    """How often everybody woke up in each segment, as the model has it; nothing else differs between its two runs."""
    waking_s = max(costs.waking_s, WAKING_MIN_S)
    steady = replace(costs.without_variation().on_steady_cores(), idle_cpu={})
    on_steady_cores = replace(seen, speed=None)
    without, woken = (_simulated(replace(steady, waking_s=each), on_steady_cores) for each in (0.0, waking_s))
    return wakings(without, woken, waking_s, seen.experiment.segments)


def _simulated(costs: calibration.Calibration, seen: Seen) -> History:
    """The same plan on the model, whose cores are as fast as the real ones were."""
    plan = replace(seen.experiment.plan, faults=())
    if seen.speed:
        costs = costs.while_it_was(seen.speed)
    return SimulatedWorld(costs).play(plan, RunFolder(Path()), SilentProgress())


def play(world: World, experiment: Experiment, parent: Path, progress_of: ProgressOf) -> tuple[History, MachineWatch]:
    """One experiment into a folder of its own; with it, what was seen of the machine meanwhile."""
    folder = create(parent, experiment.plan.scenario)
    folder.plan.write_text(experiment.plan.to_json(), encoding="utf-8")
    with watching(progress_of, experiment.plan, world) as watch:
        history = world.play(experiment.plan, folder, watch)
    histories.write(history, folder.path)
    works_s = [None if isnan(each) else each for each in watch.works_s(experiment.segments)]
    folder.set_state(RunState.FINISHED, works_s=works_s)
    speed.keep(watch.record(history), folder.path)
    return history, watch


def keep(calibrated: Calibrated, path: Path) -> None:
    """Write the document. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(calibrated.document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _about(world: World) -> dict[str, Any]:
    said = machine.description()
    return {
        "about": f"Fitted by paylab calibrate in the world {world.name} on {said['machine']['cpu']}.",
        "world": world.name,
        **said,
        "pools": _pools(world.name),
    }


def _pools(world: str) -> dict[str, Any]:
    """Connections a replica has to its database: one writer when embedded, else as configured."""
    if world != "compose":
        return {"writers": 1}
    names = [name for name in SETTINGS if name.startswith("database.pool")]
    return {name: SETTINGS[name].default for name in names}


def _notes(seen: Seen, waits: Waiting) -> list[str]:
    said = []
    if not seen.traced_quiet:
        said.append("the machine was not quiet while requests were recorded; hop and variations are assumed")
    if late := [what for what in seen.calls.per_operation if what not in waits.medians_s]:
        said.append(f"waiting of {', '.join(late)}: nothing to compare in a quiet moment; assumed to be none")
    return said + [
        f"{what}: the model takes {1000 * abs(excess_s):.1f} ms {'longer' if excess_s > 0 else 'less'} than the real "
        "platform at low load"
        for what, excess_s in sorted(waits.excess_s.items())
        if abs(excess_s) > EXCESS_SHARE * waits.medians_s[what][0]
    ]
