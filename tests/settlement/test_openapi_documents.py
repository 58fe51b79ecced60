"""What every OpenAPI document must be like, whatever the service: complete, and true of the code that it describes."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import settlement
from settlement.topology import SERVICES

from .doors import Door, doors_of

SOURCES = Path(inspect.getfile(settlement)).parent
CREDENTIALS = {
    Door.OPEN: None,
    Door.OWN: {"session"},
    Door.OBJECT: {"session"},
    Door.SERVICE: {"caller", "target", "timestamp", "nonce", "signature"},
    Door.OPERATOR: {"operatorToken"},
    Door.FAULT: {"faultToken"},
    Door.REGISTRY: {"eurekaPassword"},
}
SUCCEEDS = re.compile(r"20[0124]")
ANY = "any code"


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    """The documents read so far: they are the same for every test."""
    return {}


async def _document(cluster: Any, documents: dict[str, dict[str, Any]], service: str) -> dict[str, Any]:
    if service not in documents:
        await cluster.start(service)
        documents[service] = (await cluster.http(service).get("/openapi.json")).json()
    return documents[service]


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method.upper()} {path}", operation


def _codes(response: dict[str, Any]) -> set[str]:
    """The codes of a refusal; empty if any may come."""
    _, own = response["content"]["application/problem+json"]["schema"]["allOf"]
    return set(own["properties"].get("code", {}).get("enum", ()))


@pytest.mark.parametrize("service", SERVICES)
async def test_every_answer_is_described(cluster: Any, documents: dict[str, dict[str, Any]], service: str) -> None:
    for name, operation in _operations(await _document(cluster, documents, service)):
        responses = operation["responses"]
        assert "default" not in responses, name
        assert any(SUCCEEDS.fullmatch(status) for status in responses), name
        for status, response in responses.items():
            assert "Paylab-Replica" in response["headers"], (name, status)
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], (name, status)
            elif status != "204" and "eureka" not in name:
                assert response["content"], f"{name} {status} has no media type"
            for media_type, content in response.get("content", {}).items():
                is_json = media_type == "application/json" and not name.endswith("/content")
                assert not is_json or content["schema"], f"{name} {status} has no model"


@pytest.mark.parametrize("service", SERVICES)
async def test_every_operation_asks_for_the_credentials_of_its_door(
    cluster: Any, documents: dict[str, dict[str, Any]], service: str
) -> None:
    document = await _document(cluster, documents, service)
    for name, operation in _operations(document):
        asked = operation.get("security", [None])[0]
        assert (asked and set(asked)) == CREDENTIALS[doors_of(service)[name]], name
        assert ("security" in operation) <= ("401" in operation["responses"]), name
        assert set(asked or ()) <= document["components"]["securitySchemes"].keys(), name


def _raised(folder: Path) -> set[tuple[int, str]]:
    """Every problem that the sources in this folder name in so many words: status and code."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem" and len(node.args) > 1:
                status, code = node.args[:2]
                if isinstance(status, ast.Constant) and isinstance(code, ast.Constant):
                    found.add((status.value, code.value))
    return found


@pytest.mark.parametrize("service", SERVICES)
async def test_every_problem_that_a_service_raises_is_told_of(
    cluster: Any, documents: dict[str, dict[str, Any]], service: str
) -> None:
    """So a new `raise Problem(...)` that no route declares is found, also where no generated data reaches it."""
    told: dict[int, set[str]] = {}
    for _, operation in _operations(await _document(cluster, documents, service)):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                told.setdefault(int(status), set()).update(_codes(response) or {ANY})
    raised = _raised(SOURCES / "services" / service)
    untold = {(status, code) for status, code in raised if not {code, ANY} & told.get(status, set())}
    assert untold == set(), "declare them: responses=refusals({...})"


async def test_every_code_that_is_told_of_is_in_the_sources(cluster: Any, documents: dict[str, dict[str, Any]]) -> None:
    """Nobody waits for a refusal that cannot come any more."""
    known = {code for _, code in _raised(SOURCES)} | _words(SOURCES)
    for service in SERVICES:
        for name, operation in _operations(await _document(cluster, documents, service)):
            for status, response in operation["responses"].items():
                codes = _codes(response) if int(status) >= 400 else set()
                gone = {code for code in codes - known if f"}}_{code.partition('_')[2]}" not in known}
                assert gone == set(), f"{service} {name} {status}"


def _words(folder: Path) -> set[str]:
    """All words of the sources; the end of a text made at run time, as in `{field}_taken`, with the brace before it."""
    told_of_in = ("api.py", "openapi.py")
    sources = [path.read_text() for path in folder.rglob("*.py") if path.name not in told_of_in]
    return {word for source in sources for word in re.findall(r"\}_\w*|\w+", source)}


def _conforms(document: dict[str, Any], name: str, answer: httpx.Response) -> None:
    """The answer's status, media type, code and headers are those of the document."""
    method, path = name.split(" ")
    told = document["paths"][path][method.lower()]["responses"][str(answer.status_code)]
    assert answer.headers["content-type"] in told["content"]
    assert answer.json()["code"] in _codes(told)
    required = {header for header, form in told["headers"].items() if form.get("required")}
    assert {header.lower() for header in required} <= set(answer.headers)


async def test_who_asks_too_often_is_told_so_as_documented(cluster: Any) -> None:
    await cluster.start("order", settings={"limit.address_rate_per_s": 0.01, "limit.address_burst": 1})
    http = cluster.http("order")
    document = (await http.get("/openapi.json")).json()
    first, second = [await http.get("/goods") for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 429)
    _conforms(document, "GET /goods", second)
    for answer in (first, second):
        told = document["paths"]["/goods"]["get"]["responses"][str(answer.status_code)]["headers"]
        for header in ("RateLimit", "RateLimit-Policy"):
            assert header in told
            assert re.fullmatch(document["components"]["headers"][header]["schema"]["pattern"], answer.headers[header])


async def test_who_meets_a_full_replica_is_told_so_as_documented(cluster: Any) -> None:
    await cluster.start("order")
    chassis = cluster.replica("order-0").chassis
    document = (await cluster.http("order").get("/openapi.json")).json()
    chassis.admission._gate = _Full()
    answer = await cluster.http("order").get("/goods")
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    _conforms(document, "GET /goods", answer)


class _Full:
    limit = 0

    def try_enter(self) -> bool:
        return False
