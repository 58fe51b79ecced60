"""The clock: order, SimPy's guests, deadlines and pools."""

import pytest
import simpy

from simulator.resources import Agenda, Deadlines, Pool, SharedCores, Station


def test_what_falls_on_one_instant_runs_in_the_order_it_was_put_down():
    agenda, ran = Agenda(), []
    agenda.at(2.0, ran.append, "c")
    agenda.at(1.0, ran.append, "a")
    agenda.at(1.0, ran.append, "b")
    agenda.run_until(2.0)
    assert ran == ["a", "b"]
    assert agenda.now == 2.0
    agenda.at(0.5, ran.append, "late")  # the past is now
    agenda.run_until(3.0)
    assert ran == ["a", "b", "c", "late"]


def _bank(environment, seen):
    """Five customers, one counter, and one who is interrupted while she waits."""
    counter = simpy.Resource(environment, 1)

    def customer(number):
        yield environment.timeout(number * 0.5)
        with counter.request() as request:
            try:
                yield request
                yield environment.timeout(1.0)
                seen.append((number, environment.now))
            except simpy.Interrupt:
                seen.append((number, "left", environment.now))

    customers = [environment.process(customer(number)) for number in range(5)]

    def nuisance():
        yield environment.timeout(2.25)
        customers[3].interrupt()
        value = yield environment.any_of([environment.timeout(0.1, "first"), environment.timeout(9)])
        seen.append(sorted(value.values()))

    environment.process(nuisance())


def test_simpy_processes_live_on_the_agenda_as_they_do_at_home():
    here, there = [], []
    agenda, home = Agenda(), simpy.Environment()
    _bank(agenda, here)
    _bank(home, there)
    agenda.run_until(100)
    home.run(until=100)
    assert here == there
    assert len(here) == 6


def test_simpys_own_run_works_too_and_errors_are_not_swallowed():
    agenda = Agenda()

    def fails():
        yield agenda.timeout(1.0)
        raise ValueError("nobody listens")

    agenda.process(fails())
    with pytest.raises(ValueError, match="nobody listens"):
        agenda.run()
    assert agenda.run(until=agenda.timeout(2.0, "value")) == "value"
    assert agenda.now == 3.0


class _Call:
    def __init__(self, agenda, log, name):
        self.settled, self._agenda, self._log, self._name = False, agenda, log, name

    def expire(self):
        self.settled = True
        self._log.append((self._name, self._agenda.now))


def test_only_deadlines_that_nobody_met_expire_and_each_at_its_time():
    agenda, log = Agenda(), []
    deadlines = Deadlines(agenda, 2.0)
    calls = {name: _Call(agenda, log, name) for name in "abcd"}
    for at_s, name in enumerate("abc"):
        agenda.at(at_s, deadlines.add, calls[name])
    agenda.at(1.5, setattr, calls["a"], "settled", True)
    agenda.at(10.0, deadlines.add, calls["d"])
    agenda.run_until(20)
    assert log == [("b", 3.0), ("c", 4.0), ("d", 12.0)]


def test_who_waits_too_long_for_a_pool_goes_away_and_the_next_is_served():
    agenda, got = Agenda(), []
    pool = Pool(agenda, "connections", size=1, wait_s_max=1.0)

    def take(name):
        pool.take(lambda granted: got.append((name, granted, agenda.now)))

    agenda.at(0.0, take, "holder")
    agenda.at(0.5, take, "impatient")
    agenda.at(1.2, take, "lucky")
    agenda.at(2.0, pool.give_back)
    agenda.at(2.5, pool.give_back)
    agenda.run_until(3.0)
    assert got == [("holder", True, 0.0), ("impatient", False, 1.5), ("lucky", True, 2.0)]
    usage = pool.usage()
    assert (usage.arrived, usage.began, usage.gave_up, usage.queue_max) == (3, 2, 1, 2)
    assert usage.utilisation == pytest.approx(2.5 / 3)
    assert usage.queue_mean == pytest.approx((1.0 + 0.8) / 3)
    with pytest.raises(RuntimeError, match="more is given back"):
        pool.give_back()


def test_a_job_on_shared_cores_never_gets_more_than_one_and_a_cancelled_one_frees_its_share():
    agenda, ended = Agenda(), []
    host = SharedCores(agenda, "host", cores=2)

    def done(name):
        ended.append((name, pytest.approx(agenda.now)))

    host.run(1.0, done, "alone")
    agenda.run_until(5.0)
    jobs = {name: host.run(2.0, done, name) for name in "abcd"}  # 2 cores, 4 jobs: half speed
    agenda.at(7.0, host.cancel, jobs["d"])  # 1.0 each is done; from here three share two cores
    agenda.run_until(20.0)
    assert ended == [("alone", 1.0), ("a", 8.5), ("b", 8.5), ("c", 8.5)]
    usage = host.usage()
    assert usage.busy_area_s == pytest.approx(1.0 + 7.0)
    assert usage.gave_up == 1
    assert usage.demand_s_sum == pytest.approx(7.0)


def test_a_full_house_refuses_and_says_so():
    agenda, served = Agenda(), []
    desk = Station(agenda, "desk", servers=1, room=1)
    taken = [desk.visit(1.0, served.append, name) for name in "abc"]
    agenda.run_until(10)
    assert taken == [True, True, False]
    assert served == ["a", "b"]
    assert desk.usage().refused == 1
