"""Every moment at which the protocol may die, one after the other: crash, restart, converge."""

import pytest

from settlement.protocol.crashpoints import COORDINATOR_POINTS, PARTICIPANT_POINTS
from simulator.model import simulate

CASES = [
    *(("gateway", point) for point in COORDINATOR_POINTS),
    *(("payment", point) for point in PARTICIPANT_POINTS),
    *(("order", point) for point in PARTICIPANT_POINTS),
]

# Where a run with one gateway never comes. Who adds a rule to the protocol must either reach it here or say why not.
UNREACHED = {
    # Only who was overtaken is fenced, and only a long silence exhausts retries: tests of their own.
    "gateway": (
        "coordinator.fenced.",
        "coordinator.exhausted.",
        # Asked about what it never began (that record precedes every prepare), or has closed (all had answered).
        "coordinator.initial.reply.",
        "coordinator.closed.reply.",
    ),
    # Nothing outside is uncertain for an order, and its reservation cannot come home late.
    "order": ("participant.initial.reply.",),
    "payment": (),
}


@pytest.mark.parametrize(("service", "point"), CASES)
def test_everything_ends_well_after_a_crash_at(service, point, platform, fault, assert_at_rest):
    crash = fault("crash_at", 1.0, 2.0, service=service, replica=0, point=point, nth=2, restart_after_s=1.0)
    lost = fault("drop_reply", 2.5, 6.0, from_="payment", to="channel", path="/wallet", share=0.85)
    unheard = fault("loss", 6.5, 7.5, from_="gateway", to="payment", path="/participant/decision")
    settings = {
        "channel__decline_share": 0.15,
        "payment__channel_timeout_ms": 400,
        "gateway__retry_base_ms": 100,
        "payment__orphan_interval_ms": 500,
        "order__orphan_interval_ms": 500,
    }
    tables = simulate(platform(crash, lost, unheard, **settings))
    assert_at_rest(tables)
    reached = tables["faults"].hits[0] == 1
    assert reached != point.startswith(UNREACHED[service] or ("-",))
    assert ("died" in set(tables["services"].event)) == reached


@pytest.mark.parametrize("side", ["before", "after"])
def test_who_gives_up_says_so_and_keeps_the_decision(side, platform, fault):
    point = f"coordinator.exhausted.persist.{side}"
    crash = fault("crash_at", 1.0, 2.0, service="gateway", replica=0, point=point, nth=1, restart_after_s=1.0)
    silent = fault("error", 2.0, 26.0, service="payment", route="POST /participant/decision")
    tables = simulate(platform(crash, silent, gateway__retry_attempts_max=3))
    rows = tables["transactions"]
    assert tables["faults"].hits[0] == 1
    given_up = set(rows[rows.event == "exhausted"].gid)
    decided = set(rows[(rows.event == "decided")].gid)
    closed = set(rows[rows.event == "closed"].gid)
    assert given_up
    assert given_up == decided - closed, "what is not closed is exhausted, and neither is undecided"
