"""In every run: Little's law, U = X D, nothing lost of requests and money, and the same seed gives the same digest."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from simulator.calibration import Demand
from simulator.inputs import Load
from simulator.model import Simulation, simulate
from simulator.placement import Placement
from simulator.recorder import tables as frames


def _server(plan):
    """The same platform on a database server, with pools that are small enough to queue at."""
    figures = replace(
        plan.calibration, database_cpu_s=0.0004, commit_wait_s=0.001, idle_cpu={"gateway": 0.02, "cart": 0.01}
    )
    return replace(plan, calibration=figures, settings={**plan.settings, "database.pool_max": 1})


def _waiting(plan):
    channel = {"default": Demand(0.001, 0.3, wait_s=0.05)}
    figures = replace(plan.calibration, endpoints={**plan.calibration.endpoints, "channel": channel})
    return replace(plan, calibration=figures)


RUNS = {
    "embedded": lambda plan: plan,
    "database server": _server,
    "slow channel": _waiting,
    "hosts apart": lambda plan: replace(plan, placement=Placement(cores=1)),
    "quotas": lambda plan: replace(plan, placement=Placement(quotas={"payment": 0.3, "order": 0.5})),
}


@pytest.fixture(params=RUNS)
def played(request, platform):
    simulation = Simulation(RUNS[request.param](platform(rate_per_s=30)))
    return simulation, simulation.run()


def test_utilisation_is_throughput_times_demand(played):
    simulation, _ = played
    for kind, usage in simulation.usages():
        # What is still at work at the end has not completed: one piece of work at most, for each server.
        slack = usage.servers * 0.05 / usage.duration_s
        assert usage.busy_mean == pytest.approx(usage.throughput_per_s * usage.demand_mean_s, abs=slack), usage.name
        assert 0 <= usage.utilisation <= 1 + 1e-9, (kind, usage.name)


def test_the_queue_is_the_arrival_rate_times_the_wait(played):
    simulation, _ = played
    for kind, usage in simulation.usages():
        if kind == "host":
            continue  # a wait under processor sharing is a stretched service: there is no line to stand in
        waited = usage.began / usage.duration_s * usage.wait_mean_s
        assert usage.queue_mean == pytest.approx(waited, rel=1e-6, abs=1e-6), usage.name
        assert usage.queue_max >= usage.queue_mean


def test_everything_that_arrived_was_done_or_is_still_there(played):
    simulation, _ = played
    for _kind, usage in simulation.usages():
        inside = usage.arrived - usage.completed - usage.refused - usage.gave_up
        assert 0 <= inside <= usage.servers + 1, usage.name


def test_money_and_requests_are_conserved(played, assert_at_rest):
    simulation, tables = played
    assert_at_rest(tables)
    generator = tables["generator"].iloc[0]
    assert generator.started + generator.dropped == generator.planned
    visits = simulation.network.visits
    asked = sum(count for (source, _, _), count in visits.items() if source == "client")
    assert asked == len(tables["requests"])


def test_the_processes_of_a_host_use_what_the_host_gives(played):
    simulation, tables = played
    used_s = sum(process.cpu_s for process in (*simulation.plant.processes, simulation._generator))
    given_s = sum(usage.busy_area_s for kind, usage in simulation.usages() if kind == "host")
    commits = simulation.plan.calibration.database_cpu_s > 0
    assert given_s > used_s if commits else given_s == pytest.approx(used_s, abs=0.1)
    stations = tables["stations"].set_index("name")
    assert {"gateway-0", "client"} <= set(stations.index)
    assert (stations.kind == "connections").any() == commits


def test_a_small_pool_is_waited_for_and_a_longer_wait_is_refused(platform):
    plan = _server(platform(rate_per_s=30, journeys=("pay",)))
    slow = replace(plan, calibration=replace(plan.calibration, commit_wait_s=0.03))
    pools = simulate(slow)["stations"].query("kind == 'connections'")
    assert pools.wait_max_s.max() > 0.03
    impatient = replace(slow, settings={**slow.settings, "database.pool_wait_max_ms": 5})
    errors = set(simulate(impatient)["requests"].error)
    assert "database_unavailable" in errors


_DIGEST = """
import hashlib, sys
from dataclasses import replace
from simulator import calibration
from simulator.inputs import Arrival, Fault, SimulationInput
from simulator.model import simulate
methods = ("card", "wallet", "balance")
arrivals = tuple(Arrival(n, 0.03 * n, "pay", methods[n % 3], n % 9 + 1, 1, f"k{n}") for n in range(150))
faults = (Fault("k", "kill", 2.0, 3.0, {"service": "order", "replica": 0, "restart_after_s": 1.0}),)
plan = SimulationInput(3, 15.0, 5.0, arrivals, calibration.load(), faults, replicas={"gateway": 2})
tables = simulate(plan)
print(hashlib.sha256("".join(tables[name].to_csv() for name in sorted(tables)).encode()).hexdigest())
"""


def test_the_digest_depends_on_the_seed_alone(platform):
    def digest(hash_seed):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", _DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        return run.stdout

    assert digest("1") == digest("2")
    again = [hashlib.sha256(simulate(platform(seed=seed))["requests"].to_csv().encode()).digest() for seed in (4, 4, 5)]
    assert again[0] == again[1] != again[2]


def test_idle_processes_and_delivered_events_cost_what_the_calibration_says(platform):
    def cpu_s(**figures):
        plan = platform(rate_per_s=5, journeys=("pay",), gateway__risk_mode="off")
        simulation = Simulation(replace(plan, calibration=replace(plan.calibration, **figures)))
        simulation.run()
        spent = {process.name: process.cpu_s for process in simulation.plant.processes}
        return spent, simulation.kernel.now, len(simulation.databases.trail.recorded)

    free, seconds, events = cpu_s()
    idle, _, _ = cpu_s(idle_cpu={"usercenter": 0.05, "backoffice": 0.02})
    told, _, _ = cpu_s(event_cpu_s={"audit": 0.004})
    assert free["usercenter-0"] == free["backoffice-0"] == 0
    assert idle["usercenter-0"] == pytest.approx(0.05 * seconds, rel=0.02)
    assert idle["backoffice-0"] == pytest.approx(0.02 * seconds, rel=0.02)
    assert told["backoffice-0"] == pytest.approx(0.004 * events)
    assert told["gateway-0"] > free["gateway-0"]


def test_work_that_nobody_waits_for_still_costs(platform):
    """Clients who give up early and come again make the platform work more, not less."""

    def worked_s(timeout_s):
        simulation = Simulation(platform(rate_per_s=25, journeys=("pay",), load=Load(timeout_s=timeout_s)))
        simulation.begin()
        simulation.kernel.run_until(20)
        return sum(process.cpu_s for process in simulation.plant.processes)

    assert worked_s(0.012) > worked_s(5.0)


def test_rows_of_a_run_that_was_stopped_early_are_complete(platform):
    simulation = Simulation(platform())
    simulation.begin()
    simulation.kernel.run_until(4.0)
    stations = frames(simulation.end())["stations"]
    assert stations.utilisation.between(0, 1).all()
