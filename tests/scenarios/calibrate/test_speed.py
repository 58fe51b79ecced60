"""What a machine that is slower for a while does to accounts, and that calibration takes it out again."""

import threading
import time
from math import nan

import pytest

from scenarios.calibrate.quiet import MachineWatch
from scenarios.calibrate.speed import SpeedProbe, probing, relative
from scenarios.calibrate.windows import Window
from scenarios.worlds.base import SilentProgress
from simulator import calibration


def test_the_mean_is_that_of_the_looks_between_two_moments() -> None:
    probe = SpeedProbe([1.0, 2.0, 3.0], [0.001, 0.002, 0.009])
    assert probe.mean_s(0.5, 2.5) == pytest.approx(0.0015)
    assert relative([0.001, 0.003, nan]) == pytest.approx([0.5, 1.5, 1.0])
    assert relative([nan, nan]) == [1.0, 1.0]


def test_a_slow_minute_is_taken_out_of_the_accounts() -> None:
    slow, fast = Window("a", 4.0, {}, {"order": 0.6}), Window("b", 4.0, {}, {"order": 0.4})
    corrected = [w.on_a_machine(r) for w, r in zip((slow, fast), relative([0.0018, 0.0012]), strict=True)]
    assert corrected[0].cpu_s["order"] == pytest.approx(corrected[1].cpu_s["order"]) == pytest.approx(0.5)


def test_it_looks_by_itself_and_stops() -> None:
    before, deadline_s = threading.active_count(), time.monotonic() + 30
    with probing() as probe:
        while len(probe.took_s) < 2:
            assert time.monotonic() < deadline_s
            threading.Event().wait(0.01)
    assert min(probe.took_s) > 0
    assert threading.active_count() == before


def test_a_watch_finds_the_looks_of_its_run() -> None:
    watch = MachineWatch(SilentProgress(), SpeedProbe([100.0, 101.0, 110.0], [0.001, 0.003, 0.005]), began_s=100.0)
    assert watch.speed.mean_s(watch.began_s, watch.began_s + 5) == pytest.approx(0.002)


def test_on_a_slower_machine_all_cpu_takes_longer_and_waiting_does_not() -> None:
    shipped = calibration.load()
    slower = shipped.on_a_machine(1.5)
    pay = ("gateway", "POST /payments")
    assert slower.demand(*pay).cpu_s == pytest.approx(1.5 * shipped.demand(*pay).cpu_s)
    assert slower.call_cpu_s == pytest.approx(1.5 * shipped.call_cpu_s)
    assert slower.demand(*pay).wait_s == shipped.demand(*pay).wait_s
    assert (slower.hop_s, slower.commit_wait_s) == (shipped.hop_s, shipped.commit_wait_s)
