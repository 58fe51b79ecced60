"""What a calibration says of idle processes: the lab without the probe that looked while it was measured."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from scenarios.calibrate.document import Measured, idle_cores
from simulator.analysis.estimates import Estimate
from simulator.speed import SpeedRecord

PROBE_S = 0.0015
"""Ten looks a second at two cores: 0.03 cores."""


def _idle(lab: float, record: SpeedRecord | None) -> dict[str, Estimate]:
    found = {name: SimpleNamespace(estimate=Estimate(cores, cores - 0.001, cores + 0.001, 50))
             for name, cores in (("lab", lab), ("order", 0.005))}  # fmt: skip
    nothing = Estimate(0.0, 0.0, 0.0, 0)
    measured = Measured(2, nothing, 0.0, nothing, nothing, nothing, {}, 0, speed=record, probe_s=PROBE_S)
    return idle_cores(cast(Any, SimpleNamespace(idle=found)), measured)


def test_looking_is_taken_off_the_lab_and_off_nobody_else() -> None:
    idle = _idle(0.045, SpeedRecord(10.0, ((0.002,), (0.002,))))
    assert (idle["lab"].value, idle["lab"].low, idle["lab"].high) == pytest.approx((0.015, 0.014, 0.016))
    assert idle["order"].value == 0.005


def test_nobody_uses_less_than_nothing() -> None:
    assert _idle(0.02, SpeedRecord(10.0, ((0.002,), (0.002,))))["lab"].low == 0.0


def test_where_nobody_looked_nothing_is_taken_off() -> None:
    assert _idle(0.045, None)["lab"].value == 0.045
