"""Calibrating the simulated world has to return the calibration that it runs on."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scenarios.calibrate import calibrating
from scenarios.calibrate.document import TIME_SLICE_MS
from scenarios.calibrate.experiments import QUICK
from scenarios.worlds.base import SilentProgress
from scenarios.worlds.simulated import SimulatedWorld
from simulator import calibration
from simulator.calibration import Assumed, Calibration, Demand
from simulator.events import CALLED
from simulator.scheduling import Scheduling
from tests.costs import PLAIN

EVENT_SERVICES = ("audit", "cart", "clearing", "message", "reconciliation", "reporting", "risk", "statistics")
# Routes that nothing tells apart are only known together: their sum is compared, and their intervals.
TOGETHER = {
    "a list of goods": ("order", ["GET /goods"]),
    "goods": ("order", ["GET /goods/{goods_id}"]),
    "filling a cart": ("cart", ["PUT /cart/items/{goods_id}"]),
    "preparing and deciding": ("payment", ["POST /participant/prepare", "POST /participant/decision"]),
    "a wallet": ("channel", ["POST /wallet/payments"]),
}


PACE = replace(QUICK, rounds=2)


@pytest.fixture(scope="module")
def truth() -> Calibration:
    # What no experiment measures is as every calibration has it; the fit could not know of anything else.
    shipped = replace(PLAIN, assumed=Assumed(), scheduling=Scheduling(TIME_SLICE_MS / 1000))
    order = {
        **shipped.endpoints["order"],
        "GET /goods": Demand(0.0031, 0.3),
        "GET /goods/{goods_id}": Demand(0.0019, 0.3),
    }
    cart = {**shipped.endpoints["cart"], "PUT /cart/items/{goods_id}": Demand(0.0042, 0.3)}
    payment = {"default": Demand(0.002), **dict.fromkeys(TOGETHER["preparing and deciding"][1], Demand(0.0035, 0.3))}
    endpoints = {**shipped.endpoints, "order": order, "cart": cart, "payment": payment}
    return replace(
        shipped,
        endpoints=endpoints,
        event_cpu_s=dict.fromkeys(EVENT_SERVICES, 0.0002),
        delivery_cpu_s=dict.fromkeys(set(EVENT_SERVICES) - {CALLED}, 0.0016),
        commit_cpu_s=0.0,
        call_cpu_s=0.0009,
        client_cpu_s=0.0009,
        journey_cpu_s=0.0006,
        idle_cpu={"gateway": 0.01, "order": 0.01, "client": 0.014, "lab": 0.05},
        waking_s=0.0004,
    )


@pytest.fixture(scope="module")
def found(truth: Calibration, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    world, folder = SimulatedWorld(truth), tmp_path_factory.mktemp("calibration")
    return calibrating.calibrate(world, PACE, 1, folder, lambda plan, each: nullcontext(SilentProgress())).document


@pytest.mark.parametrize("name", TOGETHER)
def test_routes_cost_what_they_were_given(truth: Calibration, found: dict[str, Any], name: str) -> None:
    service, routes = TOGETHER[name]
    given_ms = {route: 1000 * truth.demand(service, route).cpu_s for route in routes}
    figures = found["endpoints"][service]
    assert sum(figures[route]["cpu_ms"] for route in routes) == pytest.approx(sum(given_ms.values()), rel=0.1)
    for route, cpu_ms in given_ms.items():
        low_ms, high_ms = figures[route]["interval_ms"]
        assert low_ms <= cpu_ms <= high_ms


def test_a_cart_read_costs_what_one_from_memory_does_or_more(truth: Calibration, found: dict[str, Any]) -> None:
    """Alone all are answered from memory; in the mixes some carts have changed, and those reads are dearer."""
    given_ms = 1000 * truth.demand("cart", "GET /cart").cpu_s
    figures = found["endpoints"]["cart"]["GET /cart"]
    assert 0.9 * given_ms < figures["cpu_ms"] < given_ms / (1 - Assumed().cached_read_spares)


def test_routes_that_nothing_tells_apart_are_said_to_be_split(found: dict[str, Any]) -> None:
    for route in TOGETHER["preparing and deciding"][1]:
        assert any(f"payment {route}" in said for said in found["unidentified"])


def test_calls_and_client_requests_cost_what_they_were_given(truth: Calibration, found: dict[str, Any]) -> None:
    assert found["call_cpu_ms"] == pytest.approx(1000 * truth.call_cpu_s, rel=0.2)
    assert found["client_cpu_ms"] == pytest.approx(1000 * truth.client_cpu_s, rel=0.1)
    assert found["journey_cpu_ms"] == pytest.approx(1000 * truth.journey_cpu_s, rel=0.1)


def test_waking_is_within_its_interval(truth: Calibration, found: dict[str, Any]) -> None:
    low_ms, high_ms = found["intervals_ms"]["waking"]
    assert 0 < low_ms <= 1000 * truth.waking_s <= high_ms
    assert high_ms - low_ms < 0.6


def test_the_document_is_a_calibration_that_the_model_accepts(found: dict[str, Any]) -> None:
    loaded = calibration.from_document(found)
    assert loaded.demand("order", "GET /goods").cpu_s > 0
    assert loaded.start_s("gateway") > 0


def test_what_was_not_measured_is_said(found: dict[str, Any]) -> None:
    assert any("CPU of a commit" in said for said in found["unidentified"])
    assert Path(found["machine"]["id"]).name == found["machine"]["id"]
