"""Processes on a host: who waits for whom, and what a death or a pause does to work and timers."""

import numpy as np
import pytest

from simulator import formulas
from simulator.hosts import COLD_S, Host, Process, nothing
from simulator.kernel import Kernel
from simulator.resources import RunQueues, SharedCores


def _host(kernel, cores, waking_s=0.0):
    return Host(kernel, SharedCores(kernel, "host", cores), waking_s=waking_s)


def _finished(kernel, process, demands_s):
    done = []
    for demand_s in demands_s:
        process.work(demand_s).then(lambda: done.append(kernel.now_s))
    return done


def test_an_event_loop_does_one_thing_at_a_time():
    kernel = Kernel()
    done = _finished(kernel, Process(_host(kernel, 2), "a"), [1.0, 2.0, 1.0])
    kernel.run(10)
    assert done == [1.0, 3.0, 4.0]


def test_a_handler_goes_on_until_it_waits_before_others_have_their_turn():
    kernel, done = Kernel(), []
    process = Process(_host(kernel, 1), "a")
    process.work(1.0).then(lambda: process.work(1.0).then(lambda: done.append(("first", kernel.now_s))))
    process.work(1.0).then(lambda: done.append(("second", kernel.now_s)))
    kernel.run(10)
    assert done == [("first", 2.0), ("second", 3.0)]


def test_three_processes_share_two_cores():
    """The cores go round: each gets two thirds of one, until there is a core for everybody."""
    kernel = Kernel()
    host = _host(kernel, 2)
    ends = [_finished(kernel, Process(host, name), [demand_s]) for name, demand_s in zip("abc", (1, 1, 2), strict=True)]
    kernel.run(10)
    assert [end[0] for end in ends] == pytest.approx([1.5, 1.5, 2.5])


def test_a_dead_process_does_nothing_more_and_its_core_is_free():
    kernel = Kernel()
    host = _host(kernel, 1)
    victim, other = Process(host, "victim"), Process(host, "other")
    lost = _finished(kernel, victim, [2.0, 1.0])
    victim.after(0.7, lambda: lost.append("timer"))
    kernel.after(0.5, victim.kill)
    kernel.after(0.6, victim.start)
    done = _finished(kernel, other, [1.0])
    kernel.run(10)
    assert lost == []
    assert done == pytest.approx([1.25]), "half a core for half a second, and then the whole"
    assert victim.cpu_s == pytest.approx(0.25), "what it had done until then was done in vain, and yet done"


def test_a_paused_process_does_everything_late():
    kernel = Kernel()
    process = Process(_host(kernel, 1), "a")
    done = _finished(kernel, process, [1.0, 1.0])
    process.after(2.0, lambda: done.append("timer"))
    kernel.after(0.5, process.pause)
    kernel.after(5.0, process.resume)
    kernel.run(10)
    assert done == ["timer", 5.5, 6.5], "the timer is late; the work goes on where it had stopped"


def test_who_has_slept_takes_longer_and_the_longer_the_sleep():
    """Not so who goes on at once, and who has been waiting."""
    kernel = Kernel()
    sleeper = Process(_host(kernel, 1, waking_s=0.5), "sleeper")
    used_s = []
    for start_s in (0.0, 10.0, 20.0):
        kernel.at(start_s, sleeper.run, 1.0, lambda _: sleeper.run(1.0, nothing))
        kernel.at(start_s, sleeper.run, 1.0, nothing)
        kernel.at(start_s + 9, lambda: used_s.append(sleeper.cpu_s))
    kernel.run(30)
    assert used_s == pytest.approx([3.5, 7.0, 10.5]), "only the first piece of each three was longer"
    kernel.at(30.0, sleeper.run, 1.0, lambda _: kernel.after(COLD_S / 4, lambda: sleeper.run(1.0, nothing)))
    kernel.run(40)
    assert sleeper.cpu_s == pytest.approx(10.5 + 1.5 + 1.125)


def test_a_loop_that_has_to_wake_up_is_the_textbooks_queue_with_exceptional_first_service():
    load, waking_s, count = 0.5, 0.8, 60_000
    random = np.random.default_rng(11)
    arrivals_s = np.cumsum(random.exponential(1 / load, count)).tolist()
    services_s = random.exponential(1.0, count).tolist()
    kernel = Kernel()
    process = Process(_host(kernel, 1, waking_s=waking_s), "a")
    stays_s = []
    for at_s, service_s in zip(arrivals_s, services_s, strict=True):
        kernel.at(at_s, lambda at_s=at_s, demand_s=service_s: process.run(demand_s, _stayed, (kernel, at_s, stays_s)))
    kernel.run(arrivals_s[-1] + 1000)
    assert np.mean(stays_s) == pytest.approx(formulas.mg1_waking_stay(load, 1.0, waking_s), rel=0.03)
    assert np.mean(stays_s) > 1.2 * formulas.mg1_waking_stay(load, 1.0, 0.0)


def _stayed(arrival):
    kernel, at_s, stays_s = arrival
    stays_s.append(kernel.now - at_s)


def test_a_queue_of_one_loop_is_the_textbook_queue():
    """M/M/1 at utilisation 0.5: the mean time in the system is 1 / (service rate - arrival rate)."""
    kernel = Kernel()
    process = Process(_host(kernel, 1), "a")
    random, times = np.random.default_rng(1), []
    arrivals, demands = np.cumsum(random.exponential(2.0, 40_000)), random.exponential(1.0, 40_000)

    def arrive(demand_s):
        begun_s = kernel.now_s
        process.work(demand_s).then(lambda: times.append(kernel.now_s - begun_s))

    for at_s, demand_s in zip(arrivals, demands, strict=True):
        kernel.at(float(at_s), lambda demand_s=float(demand_s): arrive(demand_s))
    kernel.run(float(arrivals[-1]) + 100)
    assert np.mean(times) == pytest.approx(2.0, rel=0.05)
    assert process.cpu_s == pytest.approx(demands.sum())


def test_a_quota_is_an_allowance_for_each_period():
    """A fifth of a core: 20 ms of work in every 100 ms, at full speed."""
    kernel = Kernel()
    done = _finished(kernel, Process(_host(kernel, 1), "a", quota=0.2), [0.01, 0.03, 0.02])
    kernel.run(10)
    assert done == pytest.approx([0.01, 0.12, 0.22])


def test_a_throttled_process_that_is_paused_or_killed_loses_nothing_else():
    kernel = Kernel()
    host = _host(kernel, 1)
    paused, killed = Process(host, "a", quota=0.1), Process(host, "b", quota=0.1)
    done, lost = _finished(kernel, paused, [0.025]), _finished(kernel, killed, [0.025])
    kernel.after(0.05, paused.pause)
    kernel.after(0.25, paused.resume)
    kernel.after(0.05, killed.kill)
    kernel.run(10)
    assert done == pytest.approx([0.305])
    assert lost == []
    assert killed.cpu_s == pytest.approx(0.01)


def test_cpu_accounts_show_that_a_core_was_slow():
    kernel = Kernel()
    cores = RunQueues(kernel, "host", 1, 1.0, takes_s=((1.5,),))
    process = Process(Host(kernel, cores), "a")
    process.run(2.0, lambda _: process.run(4.0, lambda _: None))
    kernel.after(4.5, process.kill)
    kernel.run(10)
    assert process.cpu_s == pytest.approx(4.5), "also what was done of what was lost"
