"""The compiled recursion says the same as the agenda: to every single customer."""

import numpy as np
import pytest

from simulator import formulas
from simulator.resources import Agenda, Station
from simulator.screening import mean_wait_s, screen, waits
from tests.simulator.resources.queues import open_queue


@pytest.mark.parametrize("servers", [1, 4])
def test_customer_by_customer(servers):
    load, count, seed = 0.85 * servers, 5_000, 3
    services = np.random.default_rng(9).exponential(1.0, count)
    agenda = Agenda()
    queue = Station(agenda, "queue", servers)
    stayed = np.array(open_queue(load, queue.visit, agenda, services.tolist(), seed))
    gaps = np.random.default_rng([seed, 1]).exponential(1 / load, count)
    waited = waits(gaps, services, servers)
    left = ~np.isnan(stayed)
    assert left.sum() > 0.95 * count
    np.testing.assert_allclose((stayed - services)[left], waited[left], atol=1e-6)
    assert mean_wait_s(gaps, services, servers, 100) == pytest.approx(waited[100:].mean())


def test_a_screened_queue_is_the_textbooks():
    found = screen(rate_per_s=28.0, service_s=0.1, servers=4, customers=400_000)
    assert found.wait_mean_s == pytest.approx(0.1 * formulas.mmc_wait(2.8, 4), rel=0.03)
    assert found.utilisation == pytest.approx(0.7)
    assert screen(7.0, 0.1, 1, variation=0.0).wait_mean_s == pytest.approx(0.1 * formulas.mg1_wait(0.7, 0), rel=0.03)


def test_a_queue_that_grows_for_ever_is_refused():
    with pytest.raises(ValueError, match="cannot bear"):
        screen(rate_per_s=50.0, service_s=0.1, servers=4)
