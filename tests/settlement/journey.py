"""One of everything, through the real services: what data made at random would not find together.

Every operation that has to meet something that exists in order to succeed meets it here, and what was made is left
behind under the names that path parameters have, for data at random to meet as well.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import requests

from .conformance import Conversation

DAY_MS: Final = 86_400_000
DEADLINE_S: Final = 60.0
USER: Final = {"name": "Ada", "phone": "13812345678", "email": "ada@first.example", "password": "first-password"}

Services = dict[str, Conversation]


def eventually(ask: Callable[[], requests.Response], there: Callable[[Any], Any]) -> Any:
    """Ask until `there` finds something in the answer, and return that."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        answer = ask()
        found = there(answer.json()) if answer.ok else None
        if found:
            return found
        assert time.monotonic() < deadline_s, answer.text
        time.sleep(0.02)


def wait_for_events(service: Conversation, kind: str) -> None:
    """Until the service has consumed an event of this kind."""
    counted = re.compile(rf'^paylab_events_consumed_total{{(?=.*type="{kind}").*outcome="done".*}} [1-9]', re.MULTILINE)
    address = service.running.addresses[service.service]
    deadline_s = time.monotonic() + DEADLINE_S
    while not counted.search(requests.get(f"{address}/metrics", timeout=DEADLINE_S).text):
        assert time.monotonic() < deadline_s, f"{service.service} has heard of no {kind}"
        time.sleep(0.02)


def one_of_everything(services: Services) -> dict[str, Any]:
    """Make everything that there can be; returns names by path parameter."""
    now_ms = int(time.time() * 1_000)
    names: dict[str, Any] = {"day": datetime.fromtimestamp(now_ms / 1_000, UTC).date().isoformat(), "profile": "test"}
    _account(services)
    names |= _bought(services)
    names |= _told(services, names)
    names |= _books(services, names)
    names |= _reconciled(services["reconciliation"], now_ms)
    names |= _charged(services["channel"])
    _registered(services["configcenter"])
    _configured(services["configcenter"])
    names |= {"name": "walk", "version": 1, "service": "walk", "replica": "walk-0"}
    return names | {"app": "WALK", "instance_id": "walk-1", "vip": "walk"}


def _account(services: Services) -> None:
    users = services["usercenter"]
    captcha = users.ask("POST /captcha").json()
    left, right = captcha["question"].split(" + ")
    answer = {"captcha_id": captcha["captcha_id"], "captcha_answer": int(left) + int(right)}
    users.running.user_id = users.ask("POST /users", body={**USER, **answer}).json()["user_id"]
    users.ask("POST /sessions", body={"login": USER["phone"], "password": USER["password"]})
    users.ask("GET /users/me")


def _key() -> dict[str, str]:
    return {"idempotency-key": uuid.uuid4().hex}


def _order(orders: Conversation) -> dict[str, Any]:
    body = {"items": [{"goods_id": 1, "count": 1}], "pay_method": "card"}
    key = _key()
    first = orders.ask("POST /orders", body=body, headers=key)
    again = orders.ask("POST /orders", body=body, headers=key)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    return dict(first.json())


def _bought(services: Services) -> dict[str, Any]:
    """A cart, an order to cancel, one that was paid, and one that was refunded."""
    services["cart"].ask("PUT /cart/items/{goods_id}", {"goods_id": 2}, body={"count": 1})
    orders, gateway = services["order"], services["gateway"]
    orders.ask("POST /orders/{order_no}/cancel", {"order_no": _order(orders)["order_no"]})
    gids = []
    for _ in range(2):
        order = _order(orders)
        asked = {name: order[name] for name in ("order_no", "currency")} | {"amount_minor": order["total_minor"]}
        paid = gateway.ask("POST /payments", body={**asked, "method": "card"}, headers=_key())
        gids.append(paid.json()["gid"])
    body, key = {"amount_minor": order["total_minor"]}, _key()
    refund = gateway.ask("POST /payments/{gid}/refunds", {"gid": gids[1]}, body=body, headers=key)
    again = gateway.ask("POST /payments/{gid}/refunds", {"gid": gids[1]}, body=body, headers=key)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (refund.json(), "true")
    query = {"idempotency_key": key["idempotency-key"]}
    gateway.ask("GET /refunds", query=query)
    gateway.ask("GET /payments", query={"idempotency_key": paid.request.headers["idempotency-key"]})
    gateway.ask("GET /refunds/{gid}", {"gid": refund.json()["gid"]})
    gateway.ask("GET /operator/transactions", query={"state": "closed"})
    return {"goods_id": 1, "user_id": gateway.running.user_id, "order_no": order["order_no"], "gid": gids[0]}


def _told(services: Services, names: dict[str, Any]) -> dict[str, Any]:
    """What the other services heard of it, each a moment later."""
    ask = services["message"].ask
    messages = eventually(lambda: ask("GET /messages"), lambda told: told["messages"])
    eventually(lambda: services["audit"].ask("GET /audit/records"), lambda told: told["records"])
    for path in ("payments", "orders"):
        label = f"GET /statistics/{path}"
        eventually(lambda label=label: services["statistics"].ask(label), lambda told: told["rows"])  # type: ignore[misc]
    services["statistics"].ask("GET /statistics/summary")
    risk = services["risk"]
    risk.ask("POST /rules", body={"name": "walk", "rule": {"kind": "blocked_users", "user_ids": [2**40]}})
    for version, count in ((1, 10), (2, 20)):
        rule = {"kind": "velocity_count", "count_max": count, "window_s": 60}
        if version == 1:
            risk.ask("POST /rules", body={"name": "going", "rule": rule})
        risk.ask("PUT /rules/{name}", {"name": "going"}, body={"version": version, "rule": rule})
    risk.ask("DELETE /rules/{name}", {"name": "going"}, query={"version": 3})
    return {"message_id": messages[0]["id"]}


def _books(services: Services, names: dict[str, Any]) -> dict[str, Any]:
    """A day closed, and a report of it."""
    clearing, reporting = services["clearing"], services["reporting"]
    day = {"day": names["day"]}
    # What is paid after a day was closed belongs to the next one: once, and only when this day's payments are known.
    wait_for_events(clearing, "order.paid")
    batches = eventually(lambda: clearing.ask("POST /batches/close", body=day), lambda told: told["batches"])
    asked = reporting.ask("POST /reports", body={**day, "kind": "transactions"}).json()
    report = {"report_id": asked["report_id"]}
    eventually(lambda: reporting.ask("GET /reports/{report_id}", report), lambda told: told["state"] == "ready")
    for form in ("csv", "json"):
        reporting.ask("GET /reports/{report_id}/content", report, query={"format": form})
    batch = {"batch_id": batches[0]["batch_id"]}
    eventually(lambda: clearing.ask("GET /batches/{batch_id}", batch), lambda told: told["state"] == "settled")
    payments = services["payment"]
    payments.ask("GET /internal/payouts/{batch_id}", batch)
    payout = dict.fromkeys(("gross_minor", "refunded_minor", "fee_minor"), 0)
    payout |= {"batch_id": "walk", "merchant_id": "1", "currency": "CNY"}  # type: ignore[dict-item]
    first, again = (payments.ask("POST /internal/payouts", body=payout) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    return {**report, **batch}


def _reconciled(reconciliation: Conversation, now_ms: int) -> dict[str, Any]:
    """A statement with a line that nobody knows, and the difference that it makes."""
    begun_ms = now_ms - 10 * DAY_MS
    line = {"id": 1, "kind": "capture", "out_trade_no": "nobody-1", "amount_minor": 5, "currency": "CNY"}
    period = {"channel": "card", "from_ms": begun_ms, "until_ms": begun_ms + DAY_MS}
    body = {**period, "entries": [{**line, "booked_at_ms": begun_ms + 1_000}]}
    statement = {"statement_id": reconciliation.ask("POST /statements", body=body).json()["statement_id"]}
    reconciliation.ask("POST /statements/{statement_id}/entries", statement, body={"entries": []})
    run = {"run_id": reconciliation.ask("POST /runs", body=statement).json()["run_id"]}
    eventually(lambda: reconciliation.ask("GET /runs/{run_id}", run), lambda told: told["state"] == "finished")
    found = reconciliation.ask("GET /differences", query=run).json()["differences"]
    difference = {"difference_id": found[0]["difference_id"]}
    label = "POST /differences/{difference_id}/resolve"
    assert reconciliation.ask(label, difference, body={"note": "a walk"}).status_code == 200
    return {**statement, **run, **difference}


def _charged(channel: Conversation) -> dict[str, Any]:
    """Money taken by either channel, some of it given back; and a statement that is wrong on purpose."""
    number, large = {"out_trade_no": "walk"}, 10**12
    for taking in ("POST /card/authorizations", "POST /wallet/payments"):
        channel.ask(taking, body={**number, "amount_minor": large, "currency": "CNY"})
    channel.ask("POST /card/authorizations/{out_trade_no}/capture", number)
    for giving in ("card/authorizations", "wallet/payments"):
        body = {"refund_no": f"walk-{giving[:4]}", "amount_minor": 1}
        channel.ask(f"POST /{giving}/{{out_trade_no}}/refunds", number, body=body)
    channel.ask("POST /card/authorizations/{out_trade_no}/void", {"out_trade_no": "nothing"})
    channel.ask("POST /wallet/payments/{out_trade_no}/cancel", {"out_trade_no": "nothing"})
    for kind in ("mismatch", "missing", "extra", "duplicate", "conflicting"):
        channel.ask("POST /operator/statements/plant", body={"kind": kind, "channel": "card", **number})
    day = datetime.now(UTC).date().isoformat()
    assert channel.ask("GET /statements/{day}", {"day": day}).json()["entries"]
    channel.ask("DELETE /operator/statements/plant")
    return number


def _registered(registry: Conversation) -> None:
    """One of our own and one of Eureka's, each told of in both languages."""
    ours = {"service": "walk", "replica": "walk-0"}
    body = {"address": "http://127.0.0.1:1", "version": "1", "lease_ms": 600_000}
    statuses = [registry.ask("PUT /registry/{service}/{replica}", ours, body=body).status_code for _ in range(2)]
    assert statuses == [201, 200]
    registry.ask("PUT /registry/{service}/{replica}/lease", ours)
    registry.ask("DELETE /registry/{service}/{replica}", ours)
    registry.ask("PUT /registry/{service}/{replica}", ours, body=body)
    for name in ("walk-1", "walk-2"):
        described = {"instanceId": name, "app": "WALK", "hostName": "127.0.0.1", "ipAddr": "127.0.0.1"}
        described |= {"vipAddress": "walk", "secureVipAddress": "walk", "leaseInfo": {"durationInSecs": 600}}  # type: ignore[dict-item]
        described |= {"port": {"$": 1, "@enabled": "true"}, "dataCenterInfo": {"name": "MyOwn"}}  # type: ignore[dict-item]
        registry.ask("POST /eureka/apps/{app}", {"app": "WALK"}, body={"instance": described})
    gone = {"app": "WALK", "instance_id": "walk-2"}
    label = "/eureka/apps/{app}/{instance_id}"
    registry.ask(f"PUT {label}", gone)
    registry.ask(f"PUT {label}/status", gone, query={"value": "DOWN"})
    registry.ask(f"PUT {label}/metadata", gone, query={"colour": "blue"})
    registry.ask(f"DELETE {label}/status", gone)
    registry.ask(f"DELETE {label}", gone)
    for accept in ("application/json", "application/xml"):
        for path, name in (
            ("apps", {}),
            ("apps/delta", {}),
            ("vips/{vip}", {"vip": "walk"}),
            ("svips/{vip}", {"vip": "walk"}),
        ):
            registry.ask(f"GET /eureka/{path}", name, headers={"Accept": accept})
        registry.ask("GET /eureka/apps/{app}", {"app": "WALK"}, headers={"Accept": accept})
        registry.ask(f"GET {label}", {**gone, "instance_id": "walk-1"}, headers={"Accept": accept})
        registry.ask("GET /eureka/instances/{instance_id}", {"instance_id": "walk-1"}, headers={"Accept": accept})
    services = registry.ask("GET /registry").json()["services"]
    assert {"walk", "order"} <= services.keys()


def _configured(config: Conversation) -> None:
    """Two versions of a profile that nobody here follows."""
    profile = {"profile": "test"}
    for level in ("INFO", "WARNING"):
        config.ask("PUT /config/{profile}", profile, body={"values": {"log.level": level}})
    config.ask("POST /config/{profile}/rollback", profile, body={"version": 1}, headers={"if-match": '"2"'})
    config.ask("GET /config/{profile}/versions/{version}", {**profile, "version": 1})
    config.ask("GET /config/{profile}/diff", profile, query={"from": 1})
