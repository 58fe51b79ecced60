"""Eureka clients and our services share one registry: each finds the other, and strangers change nothing."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from settlement.chassis.live_settings import LiveSettings

from .eureka_bodies import SPRING_JSON, SPRING_XML

ORDER = {"address": "http://127.0.0.1:1234", "version": "0.2.0", "lease_ms": 3_000, "weight": 70, "metadata": {}}
LOYALTY = "/eureka/apps/LOYALTY/10.1.2.3:loyalty:8085"
PASSWORD = "eureka-password-for-tests"
JSON = {"Accept": "application/json"}


def _basic(password: str, user: str = "eureka") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
async def center(cluster: Any) -> Any:
    cluster.plan_secrets = replace(cluster.secrets, eureka=PASSWORD)
    await cluster.start("configcenter")
    cluster.clock.advance_ms(3_001)  # warmed up
    return cluster


@pytest.fixture
def http(center: Any) -> httpx.AsyncClient:
    client: httpx.AsyncClient = center.http("configcenter")
    client.headers.update(_basic(PASSWORD))
    return client


async def _register(http: httpx.AsyncClient, body: bytes = SPRING_JSON, kind: str = "application/json") -> int:
    reply = await http.post("/eureka/apps/LOYALTY", content=body, headers={"Content-Type": kind})
    return reply.status_code


async def _listed(http: httpx.AsyncClient, path: str = "/eureka/apps/") -> dict[str, list[dict[str, Any]]]:
    reply = await http.get(path, headers=JSON)
    applications = reply.json()["applications"]["application"]
    return {application["name"]: application["instance"] for application in applications}


@pytest.mark.parametrize(("body", "kind"), [(SPRING_JSON, "application/json"), (SPRING_XML, "application/xml")])
async def test_a_spring_service_is_found_by_ours(http: httpx.AsyncClient, body: bytes, kind: str) -> None:
    assert await _register(http, body, kind) == 204
    shown = (await http.get("/registry")).json()["services"]["loyalty"]
    assert shown == [
        {
            "replica": "10.1.2.3:loyalty:8085",
            "address": "http://10.1.2.3:8085",
            "version": "0.2.0",
            "weight": 50,
            "status": "UP",
        }
    ]


async def test_our_service_is_found_by_eureka_clients(center: Any, http: httpx.AsyncClient) -> None:
    await center.call("configcenter", "PUT", "/registry/order/order-0", json=ORDER)
    (found,) = (await _listed(http))["ORDER"]
    assert (found["instanceId"], found["ipAddr"], found["port"]) == (
        "order-0",
        "127.0.0.1",
        {"$": 1234, "@enabled": "true"},
    )
    assert (found["vipAddress"], found["status"], found["leaseInfo"]["durationInSecs"]) == ("order", "UP", 3)
    assert found["metadata"] == {"version": "0.2.0", "weight": "70"}
    assert found["healthCheckUrl"] == "http://127.0.0.1:1234/health/ready"


@pytest.mark.parametrize("path", ["/eureka/apps/LOYALTY", "/eureka/apps/loyalty", LOYALTY, "/eureka/vips/loyalty",
                                  "/eureka/instances/10.1.2.3:loyalty:8085", "/eureka/svips/loyalty",
                                  "/eureka/apps", "/eureka/apps/", "/eureka/apps/delta"])  # fmt: skip
async def test_every_way_to_ask_knows_the_instance_in_both_formats(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code in (200, 404)
    await _register(http)
    in_xml = await http.get(path)
    assert in_xml.headers["content-type"] == "application/xml"
    identities = [element.text for element in ElementTree.fromstring(in_xml.content).iter("instanceId")]
    in_json = await http.get(path, headers=JSON)
    assert identities == ["10.1.2.3:loyalty:8085"]
    assert in_json.text.count('"instanceId":"10.1.2.3:loyalty:8085"') == 1


@pytest.mark.parametrize("path", ["/eureka/apps/NOBODY", "/eureka/apps/NOBODY/x", "/eureka/instances/x",
                                  "/eureka/vips/nobody", "/eureka/svips/nobody"])  # fmt: skip
async def test_who_is_not_registered_is_not_found(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 404


async def test_a_heartbeat_keeps_the_lease_and_a_stranger_is_told_to_register(center: Any, http: Any) -> None:
    assert (await http.put(LOYALTY)).status_code == 404
    await _register(http)
    for _ in range(3):
        center.clock.advance_ms(60_000)
        assert (await http.put(f"{LOYALTY}?status=UP&lastDirtyTimestamp=1706700000456")).status_code == 200
    assert "LOYALTY" in await _listed(http)
    center.clock.advance_ms(91_000)

    async def gone() -> bool:
        return "LOYALTY" not in await _listed(http)

    await center.eventually(gone)


async def test_a_client_that_changed_since_it_registered_has_to_register_again(http: httpx.AsyncClient) -> None:
    await _register(http)
    assert (await http.put(f"{LOYALTY}?lastDirtyTimestamp=1706700000457")).status_code == 404


async def test_out_of_service_and_back(center: Any, http: httpx.AsyncClient) -> None:
    await center.call("configcenter", "PUT", "/registry/order/order-0", json=ORDER)
    path = "/eureka/apps/ORDER/order-0"

    async def status() -> tuple[str, str, str]:
        (found,) = (await _listed(http))["ORDER"]
        ours = (await http.get("/registry")).json()["services"]["order"][0]["status"]
        return found["status"], found["overriddenStatus"], ours

    assert (await http.put(f"{path}/status?value=OUT_OF_SERVICE")).status_code == 200
    assert await status() == ("OUT_OF_SERVICE", "OUT_OF_SERVICE", "OUT_OF_SERVICE")
    await center.call("configcenter", "PUT", "/registry/order/order-0", json=ORDER)
    assert (await status())[0] == "OUT_OF_SERVICE", "an operator's word outlives a restart of the replica"
    assert (await http.delete(f"{path}/status?value=UP")).status_code == 200
    assert await status() == ("UP", "UNKNOWN", "UP")
    assert (await http.put(f"{path}/status?value=TIRED")).status_code == 422
    assert (await http.put("/eureka/apps/ORDER/order-9/status?value=UP")).status_code == 404


async def test_an_operator_cannot_declare_well_who_says_that_it_is_not(http: httpx.AsyncClient) -> None:
    await _register(http, SPRING_JSON.replace(b'"status":"UP"', b'"status":"STARTING"'))
    await http.put(f"{LOYALTY}/status?value=UP")
    assert (await _listed(http))["LOYALTY"][0]["status"] == "STARTING"


async def test_metadata_changes_weight_and_version(center: Any, http: httpx.AsyncClient) -> None:
    await center.call("configcenter", "PUT", "/registry/order/order-0", json=ORDER)
    path = "/eureka/apps/ORDER/order-0/metadata"
    assert (await http.put(f"{path}?weight=5&zone=north")).status_code == 200
    assert (await http.get("/registry")).json()["services"]["order"][0]["weight"] == 5
    assert (await _listed(http))["ORDER"][0]["metadata"]["zone"] == "north"
    refused = await http.put(f"{path}?weight=heavy&zone=south")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_metadata")
    assert (await _listed(http))["ORDER"][0]["metadata"]["zone"] == "north", "refused as a whole"


async def test_the_delta_tells_what_happened_and_the_hash_code_what_is(center: Any, http: httpx.AsyncClient) -> None:
    await _register(http)
    await center.call("configcenter", "PUT", "/registry/order/order-0", json=ORDER)
    await http.put(f"{LOYALTY}/status?value=DOWN")
    await center.call("configcenter", "DELETE", "/registry/order/order-0")
    delta = (await http.get("/eureka/apps/delta", headers=JSON)).json()["applications"]
    actions = {found["instanceId"]: found["actionType"] for app in delta["application"] for found in app["instance"]}
    assert actions == {"10.1.2.3:loyalty:8085": "MODIFIED", "order-0": "DELETED"}
    whole = (await http.get("/eureka/apps", headers=JSON)).json()["applications"]
    assert delta["apps__hashcode"] == whole["apps__hashcode"] == "DOWN_1_"
    assert delta["versions__delta"] == whole["versions__delta"]
    for _ in range(3):
        center.clock.advance_ms(60_001)
        assert (await http.put(LOYALTY)).status_code == 200, "its lease goes on"
    delta = (await http.get("/eureka/apps/delta", headers=JSON)).json()["applications"]
    assert delta["application"] == [], "long ago is no change any more"


async def test_cancelling_removes_once(http: httpx.AsyncClient) -> None:
    await _register(http)
    assert (await http.delete(LOYALTY)).status_code == 200
    assert (await http.delete(LOYALTY)).status_code == 404
    assert await _listed(http) == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"app": "OTHER"}, "posted to"),
        ({"hostName": "a b"}, "hostName"),
        ({"hostName": "x/../y"}, "hostName"),
        ({"hostName": "::g"}, "hostName"),
        ({"hostName": "user@host"}, "hostName"),
        ({"instanceId": "a/b"}, "instanceId"),
        ({"port": {"$": 1, "@enabled": "false"}}, "neither port"),
        ({"metadata": {"weight": "-1"}}, "weight"),
        ({"leaseInfo": {"durationInSecs": 0}}, "durationInSecs"),
        ({"dataCenterInfo": None}, "dataCenterInfo"),
    ],
)
async def test_a_bad_registration_is_refused_with_the_reason(
    http: httpx.AsyncClient, change: dict[str, Any], said: str
) -> None:
    document = json.loads(SPRING_JSON)
    document["instance"].update(change)
    reply = await http.post("/eureka/apps/LOYALTY", json=document)
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_instance")
    assert said in reply.json()["detail"]
    assert await _listed(http) == {}


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("fe80::1", "http://[fe80::1]:8085"),
        ("shop_order_1", "http://shop_order_1:8085"),
        ("Mac.local", "http://Mac.local:8085"),
    ],
)
async def test_hosts_of_all_sorts_become_addresses(http: httpx.AsyncClient, host: str, address: str) -> None:
    document = json.loads(SPRING_JSON)
    document["instance"]["hostName"] = host
    assert (await http.post("/eureka/apps/LOYALTY", json=document)).status_code == 204
    assert (await http.get("/registry")).json()["services"]["loyalty"][0]["address"] == address
    assert (await _listed(http))["LOYALTY"][0]["hostName"] == host


async def test_an_entity_bomb_is_refused(http: httpx.AsyncClient) -> None:
    bomb = b'<!DOCTYPE b [<!ENTITY a "ha">]><instance><app>&a;</app></instance>'
    assert await _register(http, bomb, "application/xml") == 400


CHANGES = [
    ("POST", "/eureka/apps/LOYALTY"),
    ("PUT", LOYALTY),
    ("DELETE", LOYALTY),
    ("PUT", f"{LOYALTY}/status?value=DOWN"),
    ("DELETE", f"{LOYALTY}/status"),
    ("PUT", f"{LOYALTY}/metadata?a=b"),
]


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize(
    "headers", [{}, _basic("wrong"), {"Authorization": "Basic ???"}, {"Authorization": "Bearer x"}]
)
async def test_nothing_changes_without_the_password(
    center: Any, method: str, path: str, headers: dict[str, str]
) -> None:
    reply = await center.http("configcenter").request(method, path, content=SPRING_JSON, headers=headers)
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"].startswith("Basic")


async def test_the_operators_token_is_a_password_too(center: Any) -> None:
    http = center.http("configcenter")
    http.headers.update(_basic(center.secrets.operator, user="operator"))
    assert await _register(http) == 204
    http.headers = center.as_operator()
    assert (await http.delete(LOYALTY)).status_code == 200


async def test_open_access_lets_strangers_in_but_not_under_the_platforms_names(center: Any) -> None:
    settings: LiveSettings = center.replica("configcenter-0").chassis.settings
    settings.replace({"registry.eureka_access": "open"}, 2)
    http = center.http("configcenter")
    assert await _register(http) == 204
    await center.call("configcenter", "PUT", "/registry/payment/payment-0", json=ORDER)
    forged = SPRING_JSON.replace(b"LOYALTY", b"PAYMENT")
    for method, path in [
        ("POST", "/eureka/apps/PAYMENT"),
        ("DELETE", "/eureka/apps/payment/payment-0"),
        ("PUT", "/eureka/apps/Payment/payment-0/status?value=DOWN"),
        ("PUT", "/eureka/apps/PAYMENT/payment-0/metadata?weight=0"),
    ]:
        reply = await http.request(method, path, content=forged)
        assert (reply.status_code, reply.json()["code"]) == (403, "platform_service")
