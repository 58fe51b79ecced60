"""What is recorded of the cores' speed, what it does to accounts, and how the model plays it back."""

import gc
import threading
import time
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest

from scenarios.calibrate import miniature
from scenarios.calibrate.miniature import MiniatureService
from scenarios.calibrate.quiet import MachineWatch
from scenarios.calibrate.speed import (
    ELASTICITY_ASSUMED,
    LOOKS_PER_S,
    Looks,
    SpeedProbe,
    elasticity,
    keep,
    kept,
    probing,
    relative,
)
from scenarios.calibrate.windows import Window
from scenarios.errors import LabError
from scenarios.worlds.base import SilentProgress
from simulator import calibration
from simulator.kernel import Kernel
from simulator.randomness import Streams
from simulator.scheduling import Scheduling
from simulator.speed import SpeedRecord
from tests.costs import PLAIN


def test_the_mean_is_that_of_the_looks_between_two_moments() -> None:
    probe = SpeedProbe([Looks([1.0, 2.0, 3.0], [0.001, 0.002, 0.009]), Looks([1.1, 2.1], [0.003, 0.006])])
    assert probe.mean_s(0.5, 2.5) == pytest.approx(0.003)
    assert relative([0.001, 0.003, nan]) == pytest.approx([0.5, 1.5, 1.0])
    assert relative([nan, nan]) == [1.0, 1.0]


def test_a_slow_minute_is_taken_out_of_the_accounts() -> None:
    slow, fast = Window("a", 4.0, {}, {"order": 0.6}), Window("b", 4.0, {}, {"order": 0.4})
    corrected = [w.on_a_machine(r) for w, r in zip((slow, fast), relative([0.0018, 0.0012]), strict=True)]
    assert corrected[0].cpu_s["order"] == pytest.approx(corrected[1].cpu_s["order"]) == pytest.approx(0.5)


def test_it_looks_at_every_core_by_itself_and_stops() -> None:
    before, deadline_s = threading.active_count(), time.monotonic() + 30
    with probing() as probe:
        assert len(probe.cores) == threading.active_count() - before
        while min(len(core.took_s) for core in probe.cores) < 2:
            assert time.monotonic() < deadline_s
            threading.Event().wait(0.01)
    assert min(figure for core in probe.cores for figure in core.took_s) > 0
    assert threading.active_count() == before


def test_the_lab_does_not_look_through_its_heap_meanwhile() -> None:
    """A collection of all that it has would look like a slow core; what others froze stays frozen."""
    gc.unfreeze()
    with probing():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
    gc.freeze()
    with probing():
        pass
    assert gc.get_freeze_count() > 0


def test_a_probe_that_fails_is_an_error_and_no_steady_core(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: MiniatureService) -> None:
        raise OSError("no such core")

    monkeypatch.setattr(MiniatureService, "request", broken)
    with pytest.raises(LabError, match="no such core"), probing():
        pass


def test_looks_that_stop_halfway_make_no_record() -> None:
    half = [10.0 + number / LOOKS_PER_S for number in range(40)]
    assert SpeedProbe([Looks(half, [0.002] * 40)]).record(10.0, 14.0) is not None
    assert SpeedProbe([Looks(half, [0.002] * 40)]).record(10.0, 18.0) is None


def test_a_record_is_evenly_spaced_and_smooth() -> None:
    moments = [10.0 + number / LOOKS_PER_S for number in range(40)]
    steady = Looks(moments, [0.002] * 40)
    slow_since_one_second = Looks(moments, [0.001] * 20 + [0.003] * 20)
    record = SpeedProbe([steady, slow_since_one_second]).record(10.0, 10.0 + 40 / LOOKS_PER_S)
    assert record is not None
    assert [len(course) for course in record.work_s] == [40, 40]
    assert record.work_s[0] == pytest.approx([0.002] * 40)
    assert record.work_s[1][:18] == pytest.approx([0.001] * 18)
    assert record.work_s[1][18:22] == pytest.approx([0.0014, 0.0018, 0.0022, 0.0026])


def test_a_core_that_nobody_looked_at_makes_no_record() -> None:
    assert SpeedProbe().record(0.0, 1.0) is None
    assert SpeedProbe([Looks([0.5], [0.001]), Looks([7.0], [0.001])]).record(0.0, 1.0) is None


def test_a_watch_finds_the_looks_of_its_run() -> None:
    probe = SpeedProbe([Looks([100.0, 101.0, 110.0], [0.001, 0.003, 0.005])])
    watch = MachineWatch(SilentProgress(), probe, began_s=100.0)
    assert watch.speed.mean_s(watch.began_s, watch.began_s + 5) == pytest.approx(0.002)


def test_a_record_is_kept_to_the_microsecond(tmp_path: Path) -> None:
    assert kept(tmp_path) is None
    keep(None, tmp_path)
    assert kept(tmp_path) is None
    record = SpeedRecord(20.0, ((0.000251, 0.00042), (0.0003, 0.000299)))
    keep(record, tmp_path)
    assert kept(tmp_path) == record


def test_the_model_is_as_fast_as_the_record_says_compared_with_its_calibration() -> None:
    record = SpeedRecord(20.0, ((0.0002, 0.0004), (0.0003, 0.0003)))
    costs = replace(PLAIN, probe_s=0.0002, scheduling=Scheduling(0.003)).while_it_was(record)
    assert costs.scheduling.takes_s == (pytest.approx((1.0, 2.0)), pytest.approx((1.5, 1.5)))
    assert (costs.scheduling.slice_s, costs.scheduling.per_s, costs.scheduling.anywhere) == (0.003, 20.0, False)
    assert costs.idle_cpu["lab"] == pytest.approx(20 * 0.0002 * 2), "it costs what it took to look"
    assert PLAIN.while_it_was(record) == PLAIN, "nobody knows how fast that machine was"


def test_a_shipped_record_is_on_average_the_machine_that_was_calibrated() -> None:
    figures = [figure for course in calibration.load().scheduling.takes_s for figure in course]
    assert sum(figures) / len(figures) == pytest.approx(1.0, abs=0.01)
    assert max(figures) > 1.2, "its cores have been slow at times"


def test_hosts_begin_at_different_moments_of_a_record_of_another_time_and_all_at_its_first_of_their_own() -> None:
    scheduling, kernel = Scheduling(0.003, (tuple(1.0 + n for n in range(50)),), 1.0), Kernel()

    def first(name: str, seed: int, anywhere: bool) -> float:
        cores = replace(scheduling, anywhere=anywhere).of(kernel, name, 1, Streams(seed))
        return cores.run(0.001, lambda: None).due_s * 1000

    assert len({first(name, 1, anywhere=True) for name in "abcdef"}) > 3
    assert first("a", 1, anywhere=True) == first("a", 1, anywhere=True) != first("a", 2, anywhere=True)
    assert {first(name, 1, anywhere=False) for name in "abcdef"} == {1.0}


def test_how_much_services_feel_is_told_by_segments_that_were_played_several_times() -> None:
    names, works_s = ["a", "a", "a", "b", "b", "b"], [0.0002, 0.0003, 0.00025, 0.00022, 0.0002, 0.0003]
    used_s = [size * (work_s / 0.0002) ** 0.7 for size, work_s in zip([1, 1, 1, 3, 3, 3], works_s, strict=True)]
    windows = [Window(name, 4.5, {}, {"order": cpu_s, "lab": 9.0}) for name, cpu_s in zip(names, used_s, strict=True)]
    found = elasticity(works_s, windows)
    assert found.value == pytest.approx(0.7)
    assert found.count == 6


@pytest.mark.parametrize("names", ["ab", "aa", "aabc"])
def test_how_much_services_feel_is_assumed_where_too_little_was_played_again(names: str) -> None:
    works_s = [0.0002 + 0.00001 * at for at in range(len(names))]
    found = elasticity(works_s, [Window(name, 4.5, {}, {"order": 1.0}) for name in names])
    assert (found.value, found.count) == (ELASTICITY_ASSUMED, 0)


def test_cores_are_as_slow_as_services_feel_it() -> None:
    record = SpeedRecord(20.0, ((0.0002, 0.0008),))
    assert record.relative_to(0.0002, 0.5) == ((1.0, pytest.approx(2.0)),)


def test_the_service_in_miniature_takes_orders() -> None:
    with MiniatureService() as service:
        service.request()


def test_a_service_that_refuses_is_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    post = miniature._post
    monkeypatch.setattr(miniature, "_post", lambda _path, body: post("/elsewhere", body))
    with pytest.raises(RuntimeError, match="answered 404"), MiniatureService():
        pass
