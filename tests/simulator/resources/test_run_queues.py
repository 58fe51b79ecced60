"""Cores with queues of their own: turns, who goes where, and what a slow core does."""

import pytest

from simulator import formulas
from simulator.resources import Agenda, Job, RunQueues
from simulator.resources.run_queues import TICK_S
from tests.simulator.resources.queues import assert_answer, constant, exponential, queued, replicated, spread

FOREVER = float("inf")


def _ends(agenda, cores, demands_s):
    """When jobs that all come at the start are done, by name."""
    ends = {}
    for name, demand_s in demands_s.items():
        cores.run(demand_s, lambda name=name: ends.__setitem__(name, pytest.approx(agenda.now)))
    return ends


def test_who_finds_no_idle_core_waits_for_its_own():
    agenda = Agenda()
    cores = RunQueues(agenda, "host", 2, FOREVER)
    ends = _ends(agenda, cores, {"first": 0.003, "second": 0.001, "third": 0.001})
    agenda.run_until(10.0)
    assert ends == {"first": 0.003, "second": 0.001, "third": 0.004}, "the third was new, so its core is the first one"
    usage = cores.usage()
    assert usage.queue_area_s == pytest.approx(0.003), "though the second core was idle for most of it"
    assert usage.busy_area_s == pytest.approx(0.005)
    assert usage.wait_s_max == pytest.approx(0.003)


def test_who_has_waited_for_a_tick_is_pulled_over_by_an_idle_core():
    agenda = Agenda()
    cores = RunQueues(agenda, "host", 2, FOREVER)
    ends = _ends(agenda, cores, {"first": 9.0, "second": 0.001, "third": 1.0, "fourth": 1.0})
    agenda.run_until(20.0)
    assert ends == {"first": 9.0, "second": 0.001, "third": TICK_S + 1.0, "fourth": TICK_S + 2.0}
    assert cores.usage().queue_area_s == pytest.approx(TICK_S + TICK_S + 1.0)


def test_who_was_pulled_over_may_be_dropped_there():
    agenda = Agenda()
    cores = RunQueues(agenda, "host", 2, FOREVER)
    first, second = cores.run(9.0, lambda: None), cores.run(0.001, lambda: None)
    third, fourth = cores.run(2.0, pytest.fail), cores.run(1.0, lambda: None)
    left_s = []
    agenda.at(1.0, lambda: left_s.append(cores.cancel(third)))
    agenda.run_until(20.0)
    assert left_s == [pytest.approx(1.0 + TICK_S)]
    assert [job.core.number for job in (first, second, third, fourth)] == [0, 1, 1, 1]
    usage = cores.usage()
    assert (usage.completed, usage.gave_up, cores.idle, cores.running) == (3, 1, 2, 0)
    assert usage.queue_area_s == pytest.approx(TICK_S + 1.0)
    assert usage.busy_area_s == pytest.approx(9.0 + 0.001 + (1.0 - TICK_S) + 1.0)


def test_a_job_comes_back_to_the_core_that_it_was_on():
    agenda = Agenda()
    cores = RunQueues(agenda, "host", 2, FOREVER)
    traveller = Job(lambda: None)
    cores.run(1.0, lambda: None)
    cores.begin(traveller, 0.5)
    agenda.run_until(5.0)
    assert traveller.core.number == 1
    cores.begin(traveller, 1.0)
    agenda.run_until(6.5)
    assert traveller.core.number == 1, "both were idle"


def test_long_work_takes_turns_with_others():
    agenda = Agenda()
    ends = _ends(agenda, RunQueues(agenda, "host", 1, slice_s=1.0), {"long": 2.5, "short": 1.0})
    agenda.run_until(10.0)
    assert ends == {"long": 3.5, "short": 2.0}


def test_who_goes_on_at_once_keeps_its_turn_but_not_beyond_the_slice():
    agenda, order = Agenda(), []
    cores = RunQueues(agenda, "host", 1, slice_s=1.0)
    pieces = [0.3, 0.3, 0.3, 0.3]

    def done():
        order.append(("steady", pytest.approx(agenda.now)))
        if pieces:
            cores.begin(steady, pieces.pop())

    steady = Job(done)
    done()
    cores.run(1.0, lambda: order.append(("other", pytest.approx(agenda.now))))
    agenda.run_until(10.0)
    assert order[1:4] == [("steady", 0.3), ("steady", 0.6), ("steady", 0.9)]
    # The last tenth of its slice goes into the fourth piece, whose rest comes after the other's turn.
    assert order[4:] == [("other", 2.0), ("steady", 2.2)]


def test_who_is_dropped_leaves_its_core_or_its_place():
    agenda = Agenda()
    cores = RunQueues(agenda, "host", 1, FOREVER)
    running, waiting = cores.run(2.0, pytest.fail), cores.run(4.0, pytest.fail)
    ends = _ends(agenda, cores, {"last": 1.0})
    left_s = {}
    agenda.at(0.5, lambda: left_s.update(waiting=cores.cancel(waiting)))
    agenda.at(1.5, lambda: left_s.update(running=cores.cancel(running), again=cores.cancel(running)))
    agenda.run_until(10.0)
    assert left_s == {"waiting": 4.0, "running": pytest.approx(0.5), "again": 0.0}
    assert ends == {"last": 2.5}
    usage = cores.usage()
    assert (usage.gave_up, usage.completed) == (2, 1)
    assert usage.busy_area_s == pytest.approx(2.5)
    assert usage.queue_area_s == pytest.approx(0.5 + 1.5)


def test_who_goes_on_and_is_dropped_at_the_same_moment_frees_its_core_once():
    """As a process that is killed by what it has just done."""
    agenda = Agenda()
    cores = RunQueues(agenda, "host", 1, FOREVER)
    victim = Job(lambda: (cores.begin(victim, 1.0), cores.cancel(victim)))
    cores.begin(victim, 1.0)
    agenda.run_until(1.5)
    assert _ends(agenda, cores, {"first": 1.0, "second": 1.0}) == {}
    agenda.run_until(2.0)
    assert cores.usage().busy_area_s == pytest.approx(1.5), "one core, one job at a time"
    agenda.run_until(4.0)
    assert cores.usage().completed == 3


def test_a_slow_core_takes_longer_and_it_shows_in_its_account():
    agenda = Agenda()
    cores = RunQueues(agenda, "host", 2, FOREVER, takes_s=((1.0, 1.5), (2.0, 2.0)), per_s=1.0)
    first, second = (cores.run(0.5, lambda: None) for _ in range(2))
    agenda.run_until(1.2)
    assert (first.spent_s, second.spent_s) == pytest.approx((0.5, 1.0))
    later = cores.run(0.4, lambda: None)
    agenda.run_until(1.3)
    assert later.due_s == pytest.approx(1.2 + 0.6), "the second figure; after it the first again"
    agenda.run_until(2.5)
    assert cores.run(0.4, lambda: None).due_s == pytest.approx(2.9)
    assert cores.usage().demand_s_sum == pytest.approx(0.5 + 1.0 + 0.6)


@pytest.mark.parametrize(("drawn", "variation", "within"), [(spread, 2.0, 0.12), (constant, 0.0, 0.08)])
def test_one_core_without_slices_is_a_queue_in_order_of_arrival(drawn, variation, within):
    truth = formulas.mg1_wait(0.7, variation)
    assert_answer(replicated(lambda u: u.wait_mean_s, queued, load=0.7, drawn=drawn, slice_s=FOREVER), truth, within)


@pytest.mark.parametrize("drawn", [exponential, spread])
def test_one_core_with_short_slices_is_processor_sharing(drawn):
    """The shape of demands does not matter any more."""
    present = replicated(lambda u: u.busy_mean + u.queue_mean, queued, load=0.6, drawn=drawn, slice_s=0.1, count=6_000)
    assert_answer(present, 0.6 / 0.4, within=0.13)


def test_a_core_whose_speed_changes_slowly_is_two_queues_one_after_the_other():
    """M/M/1 in a random environment, in the limit of long spells: the mean of the two queues' customers."""
    present = replicated(
        lambda u: u.busy_mean + u.queue_mean, queued, load=0.5, drawn=exponential, slice_s=FOREVER,
        takes_s=((0.6, 1.4),), per_s=1 / 3_000, count=12_000,
    )  # fmt: skip
    assert_answer(present, (0.3 / 0.7 + 0.7 / 0.3) / 2, within=0.15)
