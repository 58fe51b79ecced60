"""Journeys of all kinds at the most talkative level: nothing secret appears in what is logged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from settlement.chassis.signature import Call, signed_headers
from settlement.chassis.telemetry import configure_logging

from ..money import Shop

PASSWORD, NEW_PASSWORD, GUESS = "correct-horse-battery", "another-staple-horse", "wrong-guess-of-mine"


@pytest.fixture
def talkative() -> Iterator[None]:
    configure_logging("DEBUG")
    yield
    configure_logging("WARNING")


async def _account(cluster: Any, keep: set[str]) -> dict[str, str]:
    http = cluster.http("usercenter")
    captcha = (await http.post("/captcha")).json()
    left, right = captcha["question"].split(" + ")
    keep.add(captcha["captcha_id"])
    user = {"name": "Ada", "phone": "13800000001", "email": "ada@example.org", "password": PASSWORD}
    answer = {"captcha_id": captcha["captcha_id"], "captcha_answer": int(left) + int(right)}
    assert (await http.post("/users", json={**user, **answer})).status_code == 201
    assert (await http.post("/users", json={**user, **answer})).status_code == 422
    assert (await http.post("/sessions", json={"login": "ada@example.org", "password": GUESS})).status_code == 401
    token = (await http.post("/sessions", json={"login": "ada@example.org", "password": PASSWORD})).json()["token"]
    keep.add(token)
    headers = {"Authorization": f"Bearer {token}"}
    change = {"password": NEW_PASSWORD, "current_password": PASSWORD}
    assert (await http.patch("/users/me", json=change, headers=headers)).status_code == 200
    assert (await http.post("/sessions", json={"login": 5, "password": PASSWORD})).status_code == 422
    return headers


async def _knock_everywhere(cluster: Any, keep: set[str]) -> None:
    """Requests that are refused, with credentials that are genuine in part."""
    call = Call("order", "gateway/gateway-9", "GET", "/transactions/p1/outcome", b"")
    signed = signed_headers(cluster.secrets.service, call, cluster.clock.now_ms())
    keep.add(signed["paylab-signature"])
    http = cluster.http("gateway")
    assert (await http.get("/transactions/p1/outcome", headers=signed)).status_code == 421
    headers = {"Authorization": f"Bearer {cluster.secrets.jwt}", "Paylab-Operator-Token": cluster.secrets.fault}
    assert (await http.get("/operator/transactions", headers=headers)).status_code == 401
    assert (await http.get("/payments/p1", headers=headers)).status_code == 401
    assert (await http.get("/operator/transactions", headers=cluster.as_operator())).status_code == 200
    for attack in ("bearer=" + cluster.secrets.service, "%00" + cluster.secrets.notify):
        await http.get(f"/nowhere?{attack}")


async def test_nothing_secret_is_logged(cluster: Any, talkative: None, capsys: pytest.CaptureFixture[str]) -> None:
    secrets = cluster.secrets
    keep = {secrets.service, secrets.jwt, secrets.operator, secrets.notify, secrets.fault}
    keep |= {PASSWORD, NEW_PASSWORD, GUESS}
    shop = await Shop(cluster, {"log.level": "DEBUG"}).open("usercenter", "channel", "order", "payment", "gateway")
    headers = await _account(cluster, keep)
    body = {"items": [{"goods_id": 1, "count": 1}], "pay_method": "card"}
    order = (await cluster.http("order").post("/orders", json=body, headers=headers)).json()
    asked = {key: order[name] for key, name in (("order_no", "order_no"), ("amount_minor", "total_minor"))}
    asked |= {"currency": "CNY", "method": "card", "notify_url": "http://127.0.0.1:1/unreachable"}
    paid = await cluster.http("gateway").post("/payments", json=asked, headers={**headers, "Idempotency-Key": "k"})
    assert paid.status_code == 201
    await shop.settle()
    await _knock_everywhere(cluster, keep)
    cluster.network.refuse("payment", "/participant/prepare", times=4)
    await shop.pay(await shop.order())
    await shop.settle()
    logged = capsys.readouterr().out
    assert "prepare_failed" in logged, "the journeys were logged at all"
    assert "decided" in logged
    assert {secret for secret in keep if secret in logged} == set()
