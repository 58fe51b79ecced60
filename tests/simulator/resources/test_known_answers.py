"""The textbook's queues: what simulation says is what the formulas say, within intervals narrow enough to mean it.

Seeds are fixed, so an interval that covers today covers for ever; the laws are checked in every single run.
"""

import numpy as np
import pytest

from simulator import formulas
from simulator.analysis import mean_of
from simulator.resources import Agenda, Station
from tests.simulator.resources.queues import (
    LEVEL,
    SEEDS,
    assert_answer,
    assert_laws,
    constant,
    exponential,
    open_queue,
    pool,
    replicated,
    shared,
    spread,
    station,
)


def _wait(usage):
    return usage.wait_mean_s


def test_mm1():
    assert_answer(replicated(_wait, station, load=0.7, drawn=exponential), 0.7 / 0.3, within=0.07)
    assert_answer(replicated(lambda u: u.utilisation, station, load=0.7, drawn=exponential), 0.7, within=0.012)
    assert_answer(replicated(lambda u: u.queue_mean, station, load=0.7, drawn=exponential), 0.49 / 0.3, within=0.08)


@pytest.mark.parametrize(("load", "servers", "within"), [(2.8, 4, 0.1), (6.4, 8, 0.15)])
def test_mmc(load, servers, within):
    truth = formulas.mmc_wait(load, servers)
    assert_answer(replicated(_wait, station, load=load, drawn=exponential, servers=servers), truth, within)


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_the_distribution_of_mm1(share):
    """In the order of their coming, customers stay exponential times; any other order has the same mean, not this."""

    def quantile(seed):
        agenda, count = Agenda(), 40_000
        queue = Station(agenda, "queue")
        services = exponential(np.random.default_rng([seed, 2]), count).tolist()
        return np.nanquantile(open_queue(0.6, queue.visit, agenda, services, seed)[1_000:], share)

    found = mean_of([quantile(seed) for seed in SEEDS], LEVEL)
    assert_answer(found, formulas.mm1_stay_quantile(0.6, share), within=0.08)


@pytest.mark.parametrize(("drawn", "variation", "within"), [(spread, 2.0, 0.12), (constant, 0.0, 0.05)])
def test_mg1_and_md1(drawn, variation, within):
    truth = formulas.mg1_wait(0.7, variation)
    assert_answer(replicated(_wait, station, load=0.7, drawn=drawn), truth, within)


@pytest.mark.parametrize("drawn", [exponential, constant, spread])
def test_loss_does_not_depend_on_the_shape_of_service(drawn):
    """Erlang B, and its insensitivity: only the mean matters."""
    truth = formulas.erlang_b(3.0, 4)
    lost = replicated(lambda u: u.refused / u.arrived, station, load=3.0, drawn=drawn, servers=4, room=0)
    assert_answer(lost, truth, within=0.04)


@pytest.mark.parametrize("drawn", [exponential, constant, spread])
def test_processor_sharing_does_not_depend_on_the_shape_of_service(drawn):
    """M/G/1-PS: the number present has mean load / (1 - load), whatever the demands look like."""
    present = replicated(lambda u: u.busy_mean + u.queue_mean, shared, load=0.6, drawn=drawn)
    assert_answer(present, 0.6 / 0.4, within=0.09)


def test_shared_cores_are_a_multi_server_when_demands_are_exponential():
    """M/M/2 with processor sharing has as many present on average as with a queue: the departures race equally."""
    present = replicated(lambda u: u.busy_mean + u.queue_mean, shared, load=1.4, drawn=exponential, cores=2)
    assert_answer(present, 1.4 + 1.4 * formulas.mmc_wait(1.4, 2), within=0.08)


def test_a_pool_without_impatience_is_a_multi_server():
    assert_answer(replicated(_wait, pool, load=2.8, servers=4), formulas.mmc_wait(2.8, 4), within=0.12)


@pytest.mark.parametrize(("load", "servers", "patience"), [(0.9, 1, 2.0), (4.5, 4, 0.5)])
def test_who_waits_too_long_for_a_pool_gives_up_as_often_as_barrer_says(load, servers, patience):
    """M/M/c with constant patience, above its capacity too."""
    share = replicated(lambda u: u.gave_up / u.arrived, pool, load=load, servers=servers, patience=patience)
    assert_answer(share, formulas.given_up(load, servers, patience), within=0.06)


def test_jackson_network():
    """Three stations with feedback: each by itself is M/M/c at the load that the routing gives it."""
    rates = {"gate": 0.8, "work": 1.0, "rest": 0.3}  # arrivals, from the balance equations of the routing below
    service_s = {"gate": 0.8, "work": 1.5, "rest": 2.0}
    servers = {"gate": 1, "work": 2, "rest": 1}

    def run(seed):
        random = np.random.default_rng(seed)
        agenda = Agenda()
        stations = {name: Station(agenda, name, servers[name]) for name in rates}

        def enter(name):
            stations[name].visit(random.exponential(service_s[name]), leave, name)

        def leave(name):
            # gate -> work; work -> rest 0.3, back to work 0.2, out 0.5; rest -> out
            if name == "gate":
                enter("work")
            elif name == "work":
                chance = random.random()
                if chance < 0.5:
                    enter("rest" if chance < 0.3 else "work")

        def arrive():
            enter("gate")
            agenda.after(random.exponential(1 / 0.8), arrive)

        agenda.after(0.0, arrive)
        agenda.run_until(10_000)
        return {name: assert_laws(each.usage(), each.busy + each.waiting) for name, each in stations.items()}

    runs = [run(seed) for seed in SEEDS]
    for name, rate in rates.items():
        load = rate * service_s[name]
        present = mean_of([u[name].busy_mean + u[name].queue_mean for u in runs], LEVEL)
        assert_answer(present, load + load * formulas.mmc_wait(load, servers[name]), within=0.12)


def test_machine_repair():
    """Closed: ten machines fail on their own and wait for two repairmen."""

    def run(seed):
        random = np.random.default_rng(seed)
        agenda = Agenda()
        repair = Station(agenda, "repair", servers=2)

        def fail():
            repair.visit(random.exponential(1.0), back)

        def back():
            agenda.after(random.exponential(1 / 0.2), fail)

        for _ in range(10):
            back()
        agenda.run_until(5_000)
        usage = assert_laws(repair.usage(), repair.busy + repair.waiting)
        return 10 - usage.busy_mean - usage.queue_mean

    assert_answer(mean_of([run(seed) for seed in SEEDS], LEVEL), formulas.machines_up(10, 2, 0.2), within=0.02)
