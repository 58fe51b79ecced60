"""The dashboards as data: `python deploy/grafana/build.py` writes deploy/grafana/dashboards/*.json.

A panel is a title, a unit and its queries; everything else about it follows. Prometheus adds `service` and `instance`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "dashboards"
SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT, COLUMNS = 12, 8, 2
PAY: Final = 'service="gateway",method="POST",route=~"/payments|/payments/{gid}/refunds"'


@dataclass(frozen=True)
class Panel:
    """One panel; `queries` are (expression, legend)."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    meaning: str = ""


def quantile(share: float, histogram: str, by: str, selector: str = "") -> str:
    """A quantile of a histogram, over everybody who has it."""
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({histogram}_bucket{{{selector}}}[$__rate_interval])))"


def rate(counter: str, by: str, selector: str = "") -> str:
    """Per second, summed over replicas."""
    return f"sum by ({by}) (rate({counter}{{{selector}}}[$__rate_interval]))"


REQUESTS, DURATION = "paylab_http_requests_total", "paylab_http_request_duration_seconds"
CALLS = "paylab_http_client_call_duration_seconds"
DECISION, HOLD = "paylab_2pc_decision_duration_seconds", "paylab_2pc_lock_hold_seconds"

DASHBOARDS: Final[dict[str, tuple[str, tuple[Panel, ...]]]] = {
    "overview": ("Platform overview", (
        Panel("Payments per second", "reqps", (("paylab:payments:rate5m", "payments and refunds"),), "stat"),
        Panel("Payments failed with a 5xx", "percentunit", (
            ("paylab:payment_errors:ratio_rate5m", "5 min"), ("paylab:payment_errors:ratio_rate1h", "1 h"),
            ("paylab:payment_errors:ratio_rate3d", "3 d"))),
        Panel("Time to pay", "s", tuple(
            (quantile(share, DURATION, "service", PAY), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99))),
        Panel("Replicas up", "short", (('sum by (service) (up{job="paylab"})', "{{service}}"),)),
        Panel("Requests by service", "reqps", ((rate(REQUESTS, "service"), "{{service}}"),)),
        Panel("Answers with 5xx by route", "reqps", (
            (rate(REQUESTS, "service, method, route", 'status=~"5.."'), "{{service}} {{method}} {{route}}"),)),
        Panel("p99 by route", "s", (
            (quantile(0.99, DURATION, "service, method, route"), "{{service}} {{method}} {{route}}"),)),
        Panel("Calls between services", "reqps", (
            (rate(f"{CALLS}_count", "service, peer"), "{{service}} to {{peer}}"),)),
        Panel("Calls without a good answer", "reqps", (
            (rate(f"{CALLS}_count", "service, peer, outcome", 'outcome=~"5xx|not_sent|unknown"'),
             "{{service}} to {{peer}}: {{outcome}}"),)),
        Panel("p99 of calls by peer", "s", ((quantile(0.99, CALLS, "service, peer"), "{{service}} to {{peer}}"),)),
    )),
    "two-phase-commit": ("Two-phase commit", (
        Panel("Decisions per second", "ops", (
            (rate("paylab_2pc_committed_total", "kind", 'role="coordinator"'), "commit {{kind}}"),
            (rate("paylab_2pc_aborted_total", "kind", 'role="coordinator"'), "abort {{kind}}"))),
        Panel("Begin to durable decision", "s", tuple(
            (quantile(share, DECISION, "kind"), f"p{share * 100:g} {{{{kind}}}}") for share in (0.5, 0.99))),
        Panel("Goods and money held", "s", tuple(
            (quantile(share, HOLD, "service"), f"p{share * 100:g} {{{{service}}}}") for share in (0.5, 0.99)),
            meaning="From a durable yes to its applied outcome"),
        Panel("In doubt now", "short", (("max by (service, role) (paylab_2pc_in_doubt)", "{{service}} ({{role}})"),),
              meaning="Prepared without an outcome, or begun and not closed"),
        Panel("Oldest in doubt", "s", (
            ("max by (service, role) (paylab_2pc_in_doubt_oldest_age_seconds)", "{{service}} ({{role}})"),)),
        Panel("Votes per second", "ops", (
            (rate("paylab_2pc_prepared_total", "service, kind"), "{{service}} yes {{kind}}"),
            (rate("paylab_2pc_refused_total", "service, kind"), "{{service}} no {{kind}}"))),
        Panel("Begun, and driven now", "short", (
            (rate("paylab_2pc_begun_total", "kind"), "begun per second {{kind}}"),
            ("sum by (instance) (paylab_2pc_driven)", "driven by {{instance}}"))),
        Panel("Decisions told again", "ops", ((rate("paylab_2pc_decision_retries_total", "service"), "rounds"),)),
        Panel("Recoveries", "ops", (
            (rate("paylab_2pc_recoveries_total", "service, cause"), "{{service}} {{cause}}"),)),
        Panel("Waiting for an operator", "short", (
            ("max by (service) (paylab_2pc_exhausted)", "{{service}}"),), "stat"),
        Panel("Ran out of retries", "short", (
            ("sum by (service) (increase(paylab_2pc_gave_up_total[1h]))", "{{service}}, last hour"),), "stat"),
    )),
    "events": ("Events and queues", (
        Panel("Outbox backlog", "short", (
            ("max by (service, subscriber) (paylab_outbox_backlog)", "{{service}} to {{subscriber}}"),)),
        Panel("Oldest event not confirmed", "s", (
            ("max by (service, subscriber) (paylab_outbox_oldest_age_seconds)", "{{service}} to {{subscriber}}"),)),
        Panel("Events consumed", "ops", (
            (rate("paylab_events_consumed_total", "service, type", 'outcome="done"'), "{{service}} {{type}}"),)),
        Panel("Events failed", "ops", (
            (rate("paylab_events_consumed_total", "service, type", 'outcome="failed"'), "{{service}} {{type}}"),)),
        Panel("Dead letters", "short", (("max by (service) (paylab_dead_letters)", "{{service}}"),)),
        Panel("Behind the streams", "short", (
            ("max by (service, type) (paylab_event_stream_lag)", "{{service}} {{type}}"),)),
        Panel("Differences from the channel's statements", "short", (
            ("max by (service) (paylab_reconciliation_differences_open)", "open"),
            ("sum by (kind) (increase(paylab_reconciliation_differences_total[1h]))", "{{kind}}, last hour"))),
        Panel("Batches and reports on their way", "short", (
            ("max by (service) (paylab_clearing_batches_unsettled)", "batches"),
            ("max by (service) (paylab_reporting_reports_pending)", "reports"))),
        Panel("Risk verdicts", "ops", (
            (rate("paylab_risk_assessments_total", "verdict"), "judged {{verdict}}"),
            (rate("paylab_gateway_risk_verdicts_total", "verdict"), "payments that got {{verdict}}"))),
        Panel("Streams without room", "short", (("max by (type) (paylab_event_stream_full)", "{{type}}"),)),
    )),
    "databases": ("Databases and Redis", (
        Panel("Connections", "short", (
            ("sum by (service, state) (paylab_database_connections)", "{{service}} {{state}}"),)),
        Panel("Waiting for a connection", "short", (
            ("sum by (service) (paylab_database_waiting)", "{{service}}"),
            (rate("paylab_database_waits_total", "service"), "{{service}}, waits per second"))),
        Panel("Redis answers", "short", (("min by (service) (paylab_redis_up)", "{{service}}"),)),
        Panel("Redis errors", "ops", ((rate("paylab_redis_errors_total", "service, kind"), "{{service}} {{kind}}"),)),
        Panel("Cache look-ups", "ops", (
            (rate("paylab_cache_lookups_total", "service, outcome"), "{{service}} {{outcome}}"),)),
        Panel("Replicas that count limits for themselves", "short", (
            ("sum by (service) (paylab_limiter_degraded)", "{{service}}"),)),
    )),
    "capacity": ("Capacity", (
        Panel("CPU by replica", "percentunit", (
            ("rate(process_cpu_seconds_total[$__rate_interval])", "{{service}} {{instance}}"),)),
        Panel("Resident memory", "bytes", (("process_resident_memory_bytes", "{{service}} {{instance}}"),)),
        Panel("Requests in flight", "short", (
            ("sum by (service) (paylab_http_requests_in_flight)", "{{service}}"),)),
        Panel("Event loop lag", "s", (("max by (service) (paylab_event_loop_lag_seconds)", "{{service}}"),)),
        Panel("Open files", "short", (("process_open_fds", "{{service}} {{instance}}"),)),
        Panel("Breakers", "short", (("max by (service, peer) (paylab_breaker_state)", "{{service}} to {{peer}}"),),
              meaning="0 closed, 1 half open, 2 open"),
        Panel("Requests turned away", "reqps", (
            (rate("paylab_requests_turned_away_total", "service, reason"), "{{service}} {{reason}}"),)),
        Panel("Limits in force", "short", (
            ("max by (service) (paylab_concurrency_limit)", "{{service}} requests at once"),
            ("max by (service) (paylab_payments_undecided_limit)", "{{service}} undecided payments"))),
        Panel("Fallbacks in force", "short", (
            ("max by (service, feature) (paylab_degraded)", "{{service}} {{feature}}"),)),
        Panel("Calls refused by breakers", "ops", (
            (rate("paylab_breaker_refused_total", "service, peer"), "{{service}} to {{peer}}"),)),
        Panel("Replicas registered", "short", (
            ("max(paylab_registry_leases)", "leases"),
            ("max(paylab_registry_self_preservation)", "self-preservation"))),
        Panel("Leases dropped", "ops", ((rate("paylab_registry_evictions_total", "service"), "{{service}}"),)),
    )),
}  # fmt: skip


def document(name: str) -> dict[str, Any]:
    """One dashboard as Grafana reads it."""
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"paylab-{name}", "title": title, "tags": ["paylab"], "schemaVersion": 39, "version": 1,
        "editable": False, "refresh": "5s", "time": {"from": "now-15m", "to": "now"}, "timezone": "browser",
        "templating": {"list": []}, "annotations": {"list": []},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }  # fmt: skip


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    place = {"x": number % COLUMNS * WIDTH, "y": number // COLUMNS * HEIGHT, "w": WIDTH, "h": HEIGHT}
    targets = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
        for index, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number + 1, "type": panel.kind, "title": panel.title, "description": panel.meaning, "gridPos": place,
        "datasource": SOURCE, "targets": targets, "options": {},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
    }  # fmt: skip


def text(name: str) -> str:
    """The file of a dashboard."""
    return json.dumps(document(name), indent=2) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (FOLDER / f"{each}.json").write_text(text(each))
