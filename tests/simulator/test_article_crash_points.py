"""The article's protocol dies at every step that is its own: everything comes to an end, not every end is right."""

import pandas as pd
import pytest

from settlement.protocol.crashpoints import CRASH_POINTS, POINTS_OF, role_of
from simulator.model import simulate

OWN = [point for point in POINTS_OF["article"] if point not in CRASH_POINTS]
CASES = [("gateway", point) for point in OWN if role_of(point) == "coordinator"]
CASES += [("payment", point) for point in OWN if ".collect." in point]
CASES += [("order", point) for point in OWN if ".revoke." in point]
# Nobody asks for a result that quickly.
UNREACHED = ("coordinator.charging.reply.", "coordinator.confirming.reply.")
# Steps of a payment that fails; a lost confirmation makes some.
FAILING = ("participant.aborted.revoke.", "coordinator.closed.send.")
# The money is gone, and nobody alive knows it.
FORGOTTEN = ("coordinator.confirming.",)


def taken_for_nothing(tables: dict[str, pd.DataFrame]) -> int:
    """Payments by card and wallet whose money is at the channel and whose order is not paid."""
    charges, orders = tables["charges"], tables["orders"]
    kept = charges[charges.captured_minor > charges.refunded_minor].out_trade_no
    return int((~kept.isin(orders.paid_gid)).sum())


@pytest.mark.parametrize(("service", "point"), CASES)
def test_everything_ends_after_a_crash_at(service, point, platform, fault):
    crash = fault("crash_at", 1.0, 2.0, service=service, replica=0, point=point, nth=2, restart_after_s=1.0)
    lost = fault("drop_reply", 0.5, 6.0, service="order", route="POST /participant/decision", share=0.2)
    faults = (crash, lost) if point.startswith(FAILING) else (crash,)
    settings = {"gateway__protocol": "article", "gateway__prepare_timeout_ms": 500}
    tables = simulate(platform(*faults, journeys=("pay",), order__orphan_interval_ms=500, **settings))
    assert (tables["faults"].hits[0] == 1) != point.startswith(UNREACHED)
    rows = tables["transactions"]
    about = rows[rows.role == "coordinator"].groupby("gid").event.agg(set)
    assert about.map(lambda events: {"begun", "decided", "closed"} <= events).all()
    assert not tables["orders"].status.isin(["paying", "refunding"]).any()
    assert (tables["stock"].reserved_units == 0).all()
    if point.startswith(FORGOTTEN) and not point.startswith(UNREACHED):
        assert taken_for_nothing(tables) > 0
