"""What processes do with nothing to do: so much of it, and nobody in step with anybody else."""

import pytest

from simulator.hosts import Host, Process
from simulator.idling import STEP_S, idle
from simulator.kernel import Kernel
from simulator.randomness import Streams
from simulator.resources import SharedCores


class _Noting(Process):
    """Notes when its work begins."""

    __slots__ = ("begun_s",)

    def __init__(self, host, name):
        super().__init__(host, name)
        self.begun_s = []

    def run(self, demand_s, then, argument=None):
        self.begun_s.append(self.kernel.now)
        super().run(demand_s, then, argument)


def _idling(cores, *names, waking_s=0.0):
    kernel = Kernel()
    host = Host(kernel, SharedCores(kernel, "host", len(names)), waking_s=waking_s)
    processes = [_Noting(host, name) for name in names]
    for process in processes:
        idle(process, cores, Streams(3).uniform("idle", process.name).draw)
    return kernel, processes


def test_a_process_with_nothing_to_do_uses_what_it_is_said_to_use():
    kernel, (process,) = _idling(0.04, "a")
    kernel.run(100 * STEP_S)
    assert process.cpu_s == pytest.approx(0.04 * 100 * STEP_S, rel=0.011)


def test_no_two_processes_idle_at_the_same_moment_all_the_time():
    kernel, processes = _idling(0.1, "a", "b", "c")
    kernel.run(50 * STEP_S)
    begun = {process.name: process.begun_s for process in processes}
    assert all(len(times) == 50 for times in begun.values())
    offsets = {name: [time_s % STEP_S for time_s in times] for name, times in begun.items()}
    for times in offsets.values():
        assert max(times) - min(times) > 0.8 * STEP_S, "it wanders, so that a regular load does not meet it always"
    apart = [abs(a - b) for a, b in zip(begun["a"], begun["b"], strict=True)]
    assert sum(each > 0.1 * STEP_S for each in apart) > 30


def test_what_is_measured_with_the_waking_of_cores_in_it_wakes_nobody():
    kernel, (process,) = _idling(0.04, "a", waking_s=0.001)
    kernel.run(100 * STEP_S)
    assert process.cpu_s == pytest.approx(0.04 * 100 * STEP_S, rel=0.011)


def test_the_dead_and_the_paused_do_not_idle_and_a_new_life_does_once():
    kernel, (process,) = _idling(0.1, "a")
    chance = Streams(4).uniform("idle", "another life").draw
    kernel.after(10 * STEP_S, process.kill)
    kernel.after(20 * STEP_S, lambda: (process.start(), idle(process, 0.1, chance)))
    kernel.after(30 * STEP_S, process.pause)
    kernel.after(40 * STEP_S, process.resume)
    kernel.run(50 * STEP_S)
    lives = [sum(start <= time_s / STEP_S < start + 10 for time_s in process.begun_s) for start in range(0, 50, 10)]
    assert lives == pytest.approx([10, 0, 10, 0, 10], abs=1)
