"""CPU accounts of processes that come and go."""

import pytest

from scenarios.calibrate.experiments import Pace, measured
from scenarios.calibrate.windows import samples
from scenarios.history import History

STEP_S, CORES = 0.5, 0.8


def test_a_restarted_process_is_not_charged_for_the_time_it_was_dead() -> None:
    plan = measured(Pace(), 1).plan
    lived_s = [STEP_S * number for number in (*range(10), *range(14, 20))]
    resources = [
        {"at_s": at_s, "process": name, "cpu_s_per_s": CORES, "rss_bytes": 1}
        for name in ("usercenter-0+order-0", "payment-0")
        for at_s in lived_s
    ]
    died = {"service": "order", "replica": "order-0"}
    services = [{**died, "event": "died", "at_s": 4.6}, {**died, "event": "restarted", "at_s": 6.2}]
    table = samples(History({"resources": resources, "services": services}, plan, "processes"))
    used_s = table.groupby("process")["cpu_s"].sum()
    assert used_s["usercenter+order"] == pytest.approx(len(lived_s) * STEP_S * CORES)
    assert used_s["payment"] == pytest.approx((len(lived_s) + 4) * STEP_S * CORES), "was only not looked at"
