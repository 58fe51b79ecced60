"""Whatever can be sent to any route is bounded: numbers, texts, lists; and so is every page that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from settlement.topology import SERVICES

PAGE_MAX = 1_000
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
async def test_no_service_reads_a_body_beyond_the_bound(cluster: Any, service: str) -> None:
    await cluster.start(service, settings={"http.body_bytes_max": 1_000})
    document = (await cluster.http(service).get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method in {"post", "put", "patch"} & set(methods):
            reply = await cluster.http(service).request(
                method, path.replace("{", "").replace("}", ""), content=b"x" * 1_001
            )
            assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large"), path
