"""Every route of every service, asked without any credentials: only what is meant for everybody answers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from settlement.topology import SERVICES

EVERYWHERE = {"GET /health/live", "GET /health/ready", "GET /metrics"}
FOR_EVERYBODY = {
    "usercenter": {"POST /captcha", "POST /users", "POST /sessions"},
    "order": {"GET /goods", "GET /goods/{goods_id}"},
    "configcenter": {
        "GET /registry",
        "GET /config",
        "GET /config/{profile}",
        "GET /config/{profile}/diff",
        "GET /config/{profile}/history",
        "GET /config/{profile}/versions/{version}",
        "GET /eureka/apps",
        "GET /eureka/apps/delta",
        "GET /eureka/apps/{app}",
        "GET /eureka/apps/{app}/{instance_id}",
        "GET /eureka/instances/{instance_id}",
        "GET /eureka/status",
        "GET /eureka/svips/{vip}",
        "GET /eureka/vips/{vip}",
    },
}


@pytest.mark.parametrize("service", SERVICES)
async def test_who_shows_no_credentials_is_refused(cluster: Any, service: str) -> None:
    await cluster.start(service)
    client = cluster.http(service)
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert len(paths) > len(EVERYWHERE)
    answering = {
        f"{method.upper()} {path}"
        for path, methods in paths.items()
        for method in methods
        if (await client.request(method, re.sub(r"\{\w+\}", "1", path))).status_code != 401
    }
    assert answering == EVERYWHERE | FOR_EVERYBODY.get(service, set())
