"""Whatever can be sent to any route is bounded: numbers, texts, lists; and so is every page that is asked for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from settlement.topology import SERVICES

from ..doors import every_credential, routes_of

PAGE_MAX = 1_000
MEGABYTE = 1_000_000
# Read in pieces by an operator; nothing is held in memory.
WALKS = {("audit", "/audit/verify")}


def _simple(schema: dict[str, Any], components: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema with its references and alternatives taken apart."""
    if "$ref" in schema:
        yield from _simple(components[schema["$ref"].rpartition("/")[2]], components)
    elif "anyOf" in schema or "oneOf" in schema or "allOf" in schema:
        for part in schema.get("anyOf") or schema.get("oneOf") or schema["allOf"]:
            yield from _simple(part, components)
    else:
        yield schema


def _unbounded(where: str, schema: dict[str, Any], components: dict[str, Any], depth: int = 0) -> Iterator[str]:
    for part in _simple(schema, components):
        kind = part.get("type")
        chosen = "enum" in part or "const" in part
        if kind in ("integer", "number") and not chosen and not ({"maximum", "exclusiveMaximum"} & set(part)):
            yield f"{where}: a number without a maximum"
        if kind == "string" and not chosen and not ({"maxLength", "pattern", "format"} & set(part)):
            yield f"{where}: a text without a maximum"
        if kind == "array" and "maxItems" not in part:
            yield f"{where}: a list without a maximum"
        if depth < 6:
            for name, inner in part.get("properties", {}).items():
                yield from _unbounded(f"{where}.{name}", inner, components, depth + 1)
            if "items" in part:
                yield from _unbounded(f"{where}[]", part["items"], components, depth + 1)


def _problems(service: str, document: dict[str, Any]) -> Iterator[str]:
    components = document.get("components", {}).get("schemas", {})
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            where = f"{service} {method.upper()} {path}"
            for parameter in route.get("parameters", []):
                name, schema = parameter["name"], parameter["schema"]
                yield from _unbounded(f"{where} {name}", schema, components)
                if name == "limit" and (service, path) not in WALKS:
                    largest = max(part.get("maximum", 0) for part in _simple(schema, components))
                    if largest > PAGE_MAX:
                        yield f"{where}: pages of {largest}"
            body = route.get("requestBody", {}).get("content", {})
            for content in body.values():
                yield from _unbounded(f"{where} body", content.get("schema", {}), components)


@pytest.mark.parametrize("service", sorted(SERVICES))
async def test_nothing_without_bounds_is_taken(cluster: Any, service: str) -> None:
    await cluster.start(service)
    document = (await cluster.http(service).get("/openapi.json")).json()
    assert list(_problems(service, document)) == []


@pytest.mark.parametrize("service", sorted(SERVICES))
async def test_no_route_gives_a_page_of_any_length(cluster: Any, service: str) -> None:
    await cluster.start(service)
    paged = [route for route in routes_of(cluster.replica(f"{service}-0")) if "limit" in route.asked]
    assert "/operator/dead-letters" in {route.path for route in paged}
    for route in paged:
        for limit in (10**9, 0, -1):
            target = re.sub(r"\{\w+\}", "dev", route.path) + f"?limit={limit}"
            headers = every_credential(cluster, route, target)
            reply = await cluster.http(service).request(route.method, target, headers=headers)
            assert reply.status_code == 422, route.name
            assert "query.limit" in {error["where"] for error in reply.json()["errors"]}, route.name


@pytest.mark.parametrize("service", sorted(SERVICES))
@pytest.mark.parametrize("announced", [True, False])
async def test_no_route_reads_a_body_beyond_the_bound(cluster: Any, service: str, announced: bool) -> None:
    """Not even those that take none, whoever sends it, and whether or not it says how long it is going to be."""
    await cluster.start(service)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(16):
            yield b"x" * (MEGABYTE // 16)

    for route in routes_of(cluster.replica(f"{service}-0")):
        body = b"x" * MEGABYTE if announced else pieces()
        headers = every_credential(cluster, route, route.path)
        target = route.path.replace("{", "").replace("}", "")
        reply = await cluster.http(service).request(route.method, target, content=body, headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large"), route.name
