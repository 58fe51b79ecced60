"""Deliveries, from when audit recorded the events that they brought."""

from scenarios.calibrate.deliveries import Delivery, deliveries
from scenarios.calibrate.experiments import Pace, measured
from scenarios.history import History


def _history(*events: tuple[str, float]) -> History:
    rows = [
        {"event_id": f"e{n}", "type": type_, "subject": "x", "occurred_s": at_s - 0.3, "recorded_s": at_s}
        for n, (type_, at_s) in enumerate(events)
    ]
    return History({"events": rows}, measured(Pace(), 1).plan, "processes")


def test_events_of_one_round_came_together_and_everybody_who_hears_of_one_was_told() -> None:
    found = deliveries(_history(("order.created", 1.0), ("order.paid", 1.01), ("order.created", 1.52)))
    assert [each for each in found if each.consumer == "audit"] == [
        Delivery(1.0, "order", "audit"),
        Delivery(1.52, "order", "audit"),
    ]
    assert sorted(each.consumer for each in found if each.at_s < 1.5) == [
        "audit", "cart", "clearing", "message", "statistics",
    ]  # fmt: skip


def test_producers_deliver_each_for_itself() -> None:
    found = deliveries(_history(("order.created", 1.0), ("payment.succeeded", 1.001), ("refund.failed", 1.002)))
    assert sorted(each.producer for each in found if each.consumer == "audit") == ["gateway", "order"]
