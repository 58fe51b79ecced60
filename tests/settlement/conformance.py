"""All services in one process, and a client that holds every answer against the service's own OpenAPI document."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests
import schemathesis
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from scenarios.worlds.embedded import PlatformSecrets
from scenarios.worlds.supervisor import wait_until
from scenarios.worlds.wire import Unreachable, call
from settlement.chassis.keys import KeyRing
from settlement.chassis.security import FAULT_TOKEN, OPERATOR_TOKEN, Tokens
from settlement.chassis.signature import Call, signed_headers, target_of
from settlement.services.configcenter.config_api import WAIT_MS_MAX
from settlement.topology import SERVICES, replica_name
from tests.ports import free_port

READY_DEADLINE_S: Final = 60.0
WATCH_MS_MAX: Final = 20
# Whoever tries everything asks more often than is allowed otherwise.
CONFIG: Final = '{"limit.user_rate_per_s": 0, "limit.address_rate_per_s": 0, "limit.account_rate_per_s": 0}'
# What the router says itself, before any operation is reached: a path parameter with a slash in it leads elsewhere.
ELSEWHERE: Final = {"not_found", "method_not_allowed"}


def conforms(ctx: Any, response: Any, case: Any) -> None:
    """What is true of every answer, of every operation, to whatever was sent."""
    assert response.status_code != 500, "a 500 is a defect"
    for check in (
        status_code_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        negative_data_rejection,
    ):
        check(ctx, response, case)


@dataclass
class Running:
    """The services' addresses, and credentials for everything."""

    addresses: dict[str, str]
    secrets: PlatformSecrets
    user_id: int = 0
    # Names of what there is, for path parameters; a service's own name for something goes before everybody's.
    known: dict[str, Any] = field(default_factory=dict)

    def credentials(self, service: str, request: requests.PreparedRequest) -> dict[str, str]:
        """A user's session, the operator's and the fault injector's tokens, and a signature: all at once."""
        return {
            "Authorization": f"Bearer {_session(self.secrets.jwt, self.user_id)}",
            OPERATOR_TOKEN: self.secrets.operator,
            FAULT_TOKEN: self.secrets.fault,
            **_signed(request, target_of(service, replica_name(service, 0)), self.secrets.service),
        }

    def wrong_credentials(self, service: str, request: requests.PreparedRequest) -> dict[str, str]:
        """The same, by somebody who knows no secret."""
        return {
            "Authorization": f"Bearer {_session('x' * 32, self.user_id)}",
            OPERATOR_TOKEN: self.secrets.fault,
            FAULT_TOKEN: self.secrets.operator,
            **_signed(request, target_of(service, replica_name(service, 0)), "x" * 32),
        }

    def misdirected(self, _service: str, request: requests.PreparedRequest) -> dict[str, str]:
        """A good signature, of a call to somebody else."""
        return _signed(request, target_of("nobody", "nobody-0"), self.secrets.service)

    def nothing(self, _service: str, _request: requests.PreparedRequest) -> dict[str, str]:
        """No credentials."""
        return {}


def _session(secret: str, user_id: int) -> str:
    return Tokens(KeyRing.parse(secret)).issue(user_id, int(time.time() + 3_600) * 1_000)


def _signed(request: requests.PreparedRequest, target: str, secret: str) -> dict[str, str]:
    body = request.body.encode() if isinstance(request.body, str) else request.body or b""
    signed = Call("tester", target, request.method or "GET", request.path_url, body)
    return signed_headers(secret, signed, time.time_ns() // 1_000_000)


@contextmanager
def all_services(data: Path) -> Iterator[Running]:
    """All services in one process, ready."""
    secrets = PlatformSecrets()
    ports = {service: free_port() for service in SERVICES}
    command = [sys.executable, "-m", "settlement.serve", "--data", str(data)]
    for service, port in ports.items():
        command += ["--service", service, "--port", str(port)]
    environment = {**os.environ, **secrets.environment(with_faults=True), "PAYLAB_CONFIG": CONFIG}
    addresses = {service: f"http://127.0.0.1:{port}" for service, port in ports.items()}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            assert wait_until(lambda: all(map(_is_ready, addresses.values())), READY_DEADLINE_S)
            # A registry that has just started is "warming" (503) to Eureka clients, for the length of a lease.
            assert wait_until(lambda: requests.get(f"{addresses['configcenter']}/eureka/apps").ok, READY_DEADLINE_S)
            yield Running(addresses, secrets)
        finally:
            process.terminate()


def _is_ready(address: str) -> bool:
    try:
        return call("GET", f"{address}/health/ready").status == 200
    except Unreachable:
        return False


class Conversation:
    """With one service: whatever is asked, the answer has to be one of those documented."""

    def __init__(self, running: Running, service: str) -> None:
        self.running = running
        self.service = service
        self.session = requests.Session()
        document = self.session.get(f"{running.addresses[service]}/openapi.json").json()
        self.schema = schemathesis.openapi.from_dict(closed(document))
        # Credentials are added to what was generated; who has none, or wrong ones, is tried apart.
        self.schema.config.generation.with_security_parameters = False
        refused = self.schema.config.checks.negative_data_rejection
        refused.expected_statuses = [*refused.expected_statuses, "413"]
        self.operations = {each.ok().label: each.ok() for each in self.schema.get_all_operations()}
        self.statuses: Counter[int] = Counter()
        self.succeeded: set[str] = set()

    def ask(self, label: str, path: Mapping[str, Any] | None = None, **sent: Any) -> requests.Response:
        """Call an operation, like `POST /orders`, with a case that succeeds; `sent` is body, query and headers."""
        parts = {"media_type": "application/json", **sent} if "body" in sent else sent
        case = self.operations[label].Case(path_parameters=dict(path or {}), **parts)
        answer = self.send(case)
        assert answer is not None, label
        assert answer.ok, f"{label}: {answer.text}"
        return answer

    def send(self, case: Any, credentials: Any = None) -> requests.Response | None:
        """Send a case with all credentials, or those given; None if no client could. Raises what does not conform."""
        _hurry(case)
        request = requests.Request(**case.as_transport_kwargs(base_url=self.running.addresses[self.service]))
        try:
            prepared = self.session.prepare_request(request)
        except ValueError:
            return None
        prepared.headers.update((credentials or self.running.credentials)(self.service, prepared))
        response = self.session.send(prepared, timeout=60)
        if _code(response) in ELSEWHERE:
            return response
        case.validate_response(response, checks=[conforms])
        self.statuses[response.status_code] += 1
        if response.ok:
            self.succeeded.add(case.operation.label)
        return response


def _hurry(case: Any) -> None:
    """A watch of the settings may take half a minute, which nobody here has."""
    wait_ms = case.query.get("wait_ms") if isinstance(case.query, dict) else None
    if isinstance(wait_ms, int) and WATCH_MS_MAX < wait_ms <= WAIT_MS_MAX:
        case.query["wait_ms"] = WATCH_MS_MAX


def _code(response: requests.Response) -> str:
    is_problem = response.headers.get("Content-Type", "") == "application/problem+json"
    return str(response.json()["code"]) if is_problem else ""


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with answers that have no members but those named: one that nobody documented is a mistake here.

    Clients should not be as strict, so the services' own documents are not.
    """
    schemas = document["components"]["schemas"]
    asked = _named([op.get("requestBody", {}) for path in document["paths"].values() for op in path.values()], schemas)
    for name, schema in schemas.items():
        if name not in asked | {"Problem"} and "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return document


def _named(part: Any, schemas: Mapping[str, Any]) -> set[str]:
    """The schemas that a part of the document refers to, at whatever depth."""
    found: set[str] = set()
    left = [part]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            name = str(each.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in schemas and name not in found:
                found.add(name)
                left.append(schemas[name])
        left += each.values() if isinstance(each, dict) else each if isinstance(each, list) else []
    return found
