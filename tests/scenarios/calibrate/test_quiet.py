"""Segments in which somebody else used the machine are told from those in which nobody did."""

import pytest

from scenarios.calibrate.experiments import Pace, measured
from scenarios.calibrate.quiet import MachineWatch, quiet
from scenarios.history import History
from scenarios.worlds.base import SilentProgress

STRANGER_FROM_S, STRANGER_CORES, OURS_CORES = 40.0, 0.5, 0.3


def test_a_stranger_disqualifies_the_segments_that_it_disturbed() -> None:
    experiment = measured(Pace(), 1)
    ticks = [0.5 * number for number in range(round(2 * experiment.plan.load_s) + 4)]
    resources = [{"at_s": at_s, "process": "order-0", "cpu_s_per_s": OURS_CORES, "rss_bytes": 1} for at_s in ticks]
    history = History({"resources": resources}, experiment.plan, "processes")
    busy_s = [OURS_CORES * at_s + STRANGER_CORES * max(0.0, at_s - STRANGER_FROM_S) for at_s in ticks]
    watch = MachineWatch(SilentProgress(), at_s=ticks, busy_s=busy_s)
    others = watch.others_cores(history, experiment.segments)
    kept = quiet(experiment.segments, others)
    assert kept
    assert all(segment.start_s < STRANGER_FROM_S for segment in kept)
    assert others[0] == pytest.approx(0.0, abs=0.1)
    assert others[-1] == pytest.approx(STRANGER_CORES, abs=0.1)


def test_the_engine_of_containers_is_no_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenarios.calibrate.quiet.busy_cpu_s", lambda: 10.0)
    monkeypatch.setattr("scenarios.calibrate.quiet.engine_cpu_s", lambda: 4.0)
    with_engine, without = MachineWatch(SilentProgress(), engine=True), MachineWatch(SilentProgress())
    for watch in (with_engine, without):
        watch.clock(1.0)
    assert (with_engine.busy_s, without.busy_s) == ([6.0], [10.0])
