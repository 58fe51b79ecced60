"""The simulated world: the platform's own protocol code in virtual time. A thin adapter over `simulator.simulate`.

The same plan always gives the same history, byte for byte.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial

from scenarios.history import History
from scenarios.plan import Plan, user_arrivals
from scenarios.runfolder import RunFolder
from scenarios.worlds.base import Progress, refuse_unsupported
from scenarios.worlds.shared_processes import collisions
from simulator import calibration
from simulator.calibration import Calibration
from simulator.inputs import Arrival, Fault, Load, SimulationInput, Stage
from simulator.model import simulate
from simulator.timeline import ALL_KINDS


@dataclass
class SimulatedWorld:
    """Plays plans on the model, in far less time than they take. `calibration`: what things cost; None: as shipped."""

    calibration: Calibration | None = None
    name: str = "simulated"
    fault_kinds: frozenset[str] = ALL_KINDS

    def impossible(self, plan: Plan) -> list[str]:
        """Besides faults: two faults at once of one process."""
        return collisions(plan)

    def play(self, plan: Plan, folder: RunFolder, progress: Progress) -> History:
        """Play `plan`. Raises UnsupportedPlan; a history depends on the plan alone."""
        refuse_unsupported(self, plan)
        progress.stage("simulating")
        tables = simulate(simulation_input(plan, self.calibration), progress.clock)
        happened = tables["faults"].dropna(subset=["started_s"])
        for fault in happened.to_dict("records"):
            progress.fault(fault["id"], "started", fault["started_s"])
            progress.fault(fault["id"], "ended", fault["ended_s"])
        progress.arrivals(int(tables["generator"]["started"].iloc[0]))
        return History(tables, plan, self.name)


def simulation_input(plan: Plan, costs: Calibration | None = None) -> SimulationInput:
    """The plan in the simulator's words; without `costs` they are the shipped ones."""
    load = plan.load
    stages = tuple(Stage(stage.start_s, stage.end_s, stage.users) for stage in load.stages)
    return SimulationInput(
        seed=plan.seed,
        duration_s=plan.duration_s,
        load_s=plan.load_s,
        arrivals=tuple(Arrival(**asdict(arrival)) for arrival in plan.arrivals),
        calibration=costs or calibration.load(),
        faults=tuple(Fault(**asdict(fault)) for fault in plan.faults),
        load=Load(load.kind, load.pool, load.timeout_s, load.deadline_s, load.think_s, stages, load.mix, load.methods),
        topology=plan.platform.topology,
        replicas=plan.platform.replicas,
        settings=plan.platform.all_settings,
        user_journeys=partial(_user_journeys, plan) if load.kind == "closed" else None,
    )


def _user_journeys(plan: Plan, user: int) -> Iterator[Arrival]:
    return (Arrival(**asdict(arrival)) for arrival in user_arrivals(plan, user))


def create() -> SimulatedWorld:
    """The world, as `scenarios.worlds.world_named` makes it."""
    return SimulatedWorld()
