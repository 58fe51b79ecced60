"""One payment is one trace, over every hop that it takes, and every span of it names the transaction."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from settlement.chassis.span_file import row_of

from .money import QUICK, Shop, arm, crashed

GID = "paylab.gid"
# On a busy machine a participant would ask for the outcome meanwhile, in a trace of its own.
NO_ORPHANS = {"order.orphan_interval_ms": 60_000, "payment.orphan_interval_ms": 60_000}


class Recorded:
    """The spans of a cluster, as rows."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    async def start(self, cluster: Any, *services: str, share: float = 1.0, **settings: object) -> None:
        given = {**QUICK, **NO_ORPHANS, "trace.sample_share": share, **settings}
        for service in services:
            await cluster.start(service, settings=given, span_processors=(SimpleSpanProcessor(self.exporter),))

    def rows(self, gid: str | None = None) -> list[dict[str, Any]]:
        rows = [row_of(span) for span in self.exporter.get_finished_spans()]
        return [row for row in rows if gid is None or row["attributes"][GID] == gid]

    def path(self, row: dict[str, Any]) -> list[str]:
        """`service: name` from the root of its trace down to a span."""
        by_id = {each["span_id"]: each for each in self.rows()}
        above = self.path(by_id[row["parent_id"]]) if row["parent_id"] in by_id else []
        return [*above, f"{row['service']}: {row['name']}"]

    def paths(self, gid: str) -> list[list[str]]:
        return [self.path(row) for row in self.rows(gid)]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


async def _paid(cluster: Any, recorded: Recorded, **settings: object) -> tuple[Shop, str]:
    await recorded.start(cluster, "risk", "channel", "order", "payment", "gateway", **settings)
    shop = Shop(cluster)
    answer = await shop.pay(await shop.order())
    assert answer.status_code == 201
    await shop.settle()
    return shop, answer.json()["gid"]


async def test_a_payment_is_one_trace_over_all_its_hops(cluster: Any, recorded: Recorded) -> None:
    _, gid = await _paid(cluster, recorded)
    await cluster.eventually(lambda: ["gateway: POST /payments", "gateway: 2pc complete"] in recorded.paths(gid))
    assert len({row["trace_id"] for row in recorded.rows(gid)}) == 1
    prepare = ["gateway: POST /payments", "gateway: 2pc prepare"]
    complete = ["gateway: POST /payments", "gateway: 2pc complete"]
    paths = recorded.paths(gid)
    for expected in (
        ["gateway: POST /payments", "gateway: POST risk", "risk: POST /assessments"],
        [*prepare, "gateway: POST order", "order: POST /participant/prepare"],
        [*prepare, "gateway: POST payment", "payment: POST /participant/prepare", "payment: POST channel",
         "channel: POST /card/authorizations"],
        [*complete, "gateway: POST order", "order: POST /participant/decision"],
        [*complete, "gateway: POST payment", "payment: POST /participant/decision", "payment: POST channel",
         "channel: POST /card/authorizations/{out_trade_no}/capture"],
    ):  # fmt: skip
        assert expected in paths, paths
    assert [*prepare, "gateway: POST order", "order: POST /participant/prepare", "order: transaction"] in paths
    assert any(path[:2] == prepare and path[-1] == "gateway: 2pc decide" for path in paths)
    assert any(path[:2] == complete and path[-1] == "gateway: 2pc close" for path in paths)


async def test_every_span_of_a_payment_names_it_and_nothing_failed(cluster: Any, recorded: Recorded) -> None:
    _, gid = await _paid(cluster, recorded)
    (root,) = [row for row in recorded.rows(gid) if row["name"] == "POST /payments"]
    of_trace = [row for row in recorded.rows() if row["trace_id"] == root["trace_id"]]
    assert {row["attributes"][GID] for row in of_trace} == {gid}
    assert [row["name"] for row in of_trace if row["failed"]] == []
    assert [event["name"] for event in root["events"]] == ["2pc decided"]
    assert root["events"][0]["attributes"]["paylab.decision"] == "commit"


async def test_an_event_goes_on_in_the_trace_of_its_cause(cluster: Any, recorded: Recorded) -> None:
    await recorded.start(cluster, "cart", "order")
    await Shop(cluster).order()
    await cluster.eventually(lambda: [row for row in recorded.rows() if row["kind"] == "consumer"])
    (consumed,) = [row for row in recorded.rows() if row["kind"] == "consumer"]
    path = recorded.path(consumed)
    assert (path[0], path[-1]) == ("order: POST /orders", "cart: consume order.created")
    assert consumed["attributes"]["paylab.waited_s"] >= 0


async def test_the_events_of_a_payment_belong_to_its_trace(cluster: Any, recorded: Recorded) -> None:
    await recorded.start(cluster, "message", "statistics", "audit")
    _, gid = await _paid(cluster, recorded)

    def consumed() -> dict[str, list[str]]:
        return {path[-1]: path for path in recorded.paths(gid) if ": consume " in path[-1]}

    expected = {
        "message: consume payment.succeeded", "statistics: consume payment.succeeded", "statistics: consume order.paid",
        "audit: consume payment.succeeded", "audit: consume order.paid",
    }  # fmt: skip
    await cluster.eventually(lambda: expected <= consumed().keys())
    # A span is seen when it has ended, and those above may end later.
    await cluster.eventually(lambda: {path[0] for path in consumed().values()} == {"gateway: POST /payments"})
    assert "order: POST /participant/decision" in consumed()["statistics: consume order.paid"]


async def test_what_is_not_sampled_makes_no_span_anywhere(cluster: Any, recorded: Recorded) -> None:
    await _paid(cluster, recorded, share=0.0)
    assert recorded.rows() == []


async def test_a_take_over_is_recorded_even_if_the_payment_was_not(cluster: Any, recorded: Recorded) -> None:
    await recorded.start(cluster, "channel", "order", "payment", share=0.0)
    first = await cluster.start("gateway", "gateway-0", settings={**QUICK, "trace.sample_share": 0.0})
    arm(first, "coordinator.decided.persist.after")
    shop = Shop(cluster)
    paying = asyncio.create_task(shop.pay(await shop.order()))
    await cluster.eventually(lambda: crashed(first))
    await cluster.kill("gateway-0")
    paying.cancel()
    await asyncio.gather(paying, return_exceptions=True)
    await recorded.start(cluster, "gateway", share=0.0)
    await shop.settle()
    await cluster.eventually(lambda: [row for row in recorded.rows() if row["name"] == "2pc recovery"])
    (decision,) = await shop.decisions()
    (recovery,) = [row for row in recorded.rows() if row["name"] == "2pc recovery"]
    assert (recovery["attributes"][GID], recovery["attributes"]["paylab.cause"]) == (decision["gid"], "left_behind")
    hops = [path[1:] for path in recorded.paths(decision["gid"]) if path[0] == "gateway: 2pc recovery"]
    assert ["gateway: POST order", "order: POST /participant/decision"] in hops
