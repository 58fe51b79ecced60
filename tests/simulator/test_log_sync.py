"""The thread behind the commits of an embedded database: it needs the interpreter, and a core, and the disk."""

import pytest

from simulator.hosts import Host, Process, nothing
from simulator.kernel import Kernel
from simulator.log_sync import SWITCH_S
from simulator.resources import SharedCores

DISK_S = 0.001


@pytest.fixture
def kernel():
    return Kernel()


@pytest.fixture
def process(kernel):
    return Process(Host(kernel, SharedCores(kernel, "host", 2)), "a", commit_wait_s=DISK_S)


def _durable(kernel, process, demand_s=0.0):
    done_s = []
    process.write(demand_s, lambda _: done_s.append(kernel.now_s), None)
    return done_s


def test_an_idle_process_waits_for_the_thread_and_the_disk_alone(kernel, process):
    done_s = _durable(kernel, process, 0.0005)
    kernel.run(1)
    assert done_s == pytest.approx([0.0005 + DISK_S])
    assert process.cpu_s == pytest.approx(0.0005)


def test_the_loop_goes_on_while_the_disk_works(kernel, process):
    _durable(kernel, process)
    worked_s = []
    kernel.after(DISK_S / 4, lambda: process.work(DISK_S / 4).then(lambda: worked_s.append(kernel.now_s)))
    kernel.run(1)
    assert worked_s == pytest.approx([DISK_S / 2])


def test_a_busy_loop_keeps_the_thread_waiting_at_both_ends_of_the_sync(kernel, process):
    process.run(0.002, nothing)
    done_s = _durable(kernel, process)
    kernel.after(0.0025, lambda: process.run(0.004, nothing))
    kernel.run(1)
    assert done_s == pytest.approx([0.0065]), "begun when the loop first waited, over when it waited again"


def test_no_longer_than_the_interpreter_is_kept_from_other_threads(kernel, process):
    process.run(1.0, nothing)
    done_s = _durable(kernel, process)
    kernel.run(2)
    assert done_s == pytest.approx([2 * SWITCH_S + DISK_S])


def test_whoever_commits_while_a_sync_is_under_way_shares_the_next(kernel, process):
    done_s = [_durable(kernel, process)]
    kernel.after(DISK_S / 4, lambda: done_s.append(_durable(kernel, process)))
    kernel.after(DISK_S / 2, lambda: done_s.append(_durable(kernel, process)))
    kernel.run(1)
    assert [each[0] for each in done_s] == pytest.approx([DISK_S, 2 * DISK_S, 2 * DISK_S])


def test_the_dead_are_never_told_and_a_new_life_syncs_again(kernel, process):
    lost_s = _durable(kernel, process)
    kernel.after(DISK_S / 2, process.kill)
    kernel.after(DISK_S * 0.6, process.start)
    done_s = []
    kernel.after(DISK_S * 0.7, lambda: done_s.append(_durable(kernel, process)))
    kernel.run(1)
    assert (lost_s, done_s[0]) == ([], pytest.approx([1.7 * DISK_S]))


def test_a_paused_process_learns_of_it_when_it_goes_on(kernel, process):
    done_s = _durable(kernel, process)
    kernel.after(DISK_S / 2, process.pause)
    kernel.after(0.5, process.resume)
    kernel.run(1)
    assert done_s == pytest.approx([0.5])


def test_who_is_killed_by_what_follows_a_commit_does_nothing_more(kernel, process):
    process.write(0.0, lambda _: process.write(0.0, nothing, None), None)
    _durable(kernel, process)  # both wait for the second sync
    after = []
    kernel.after(DISK_S * 1.2, lambda: process.write(0.0, lambda _: process.kill(), None))
    kernel.after(DISK_S * 1.3, lambda: after.append(_durable(kernel, process)))
    kernel.run(1)
    assert after == [[]]
