"""Every operation of every OpenAPI document, with data as documented: no 5xx, and no answer of another form.

The real services in one process of their own. More examples an operation: SCHEMATHESIS_EXAMPLES=200 pytest ...
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from scenarios.worlds.embedded import PlatformSecrets
from scenarios.worlds.supervisor import wait_until
from scenarios.worlds.wire import Unreachable, call
from settlement.chassis.security import ALGORITHM, AUDIENCE
from settlement.chassis.signature import Call, signed_headers, target_of
from settlement.topology import SERVICES, replica_name
from tests.ports import free_port

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "8"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
READY_DEADLINE_S = 60.0
# Whoever tries everything asks more often than is allowed otherwise.
CONFIG = '{"limit.user_rate_per_s": 0, "limit.address_rate_per_s": 0, "limit.account_rate_per_s": 0}'


@dataclass
class Running:
    """The services' addresses, and credentials for everything."""

    addresses: dict[str, str]
    secrets: PlatformSecrets

    def headers(self, service: str, prepared: requests.PreparedRequest) -> dict[str, str]:
        """A user's session, the operator's and the fault injector's tokens, and a signature: all at once."""
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body or b""
        target = target_of(service, replica_name(service, 0))
        signed = Call("tester", target, prepared.method or "GET", prepared.path_url, body)
        claims = {"sub": "7", "aud": AUDIENCE, "exp": int(time.time()) + 3_600}
        token = jwt.encode(claims, self.secrets.jwt, ALGORITHM, headers={"kid": "default"})
        return {
            "Authorization": f"Bearer {token}",
            "Paylab-Operator-Token": self.secrets.operator,
            "Paylab-Fault-Token": self.secrets.fault,
            **signed_headers(self.secrets.service, signed, time.time_ns() // 1_000_000),
        }


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """All services in one process, ready."""
    secrets = PlatformSecrets()
    ports = {service: free_port() for service in SERVICES}
    command = [sys.executable, "-m", "settlement.serve", "--data", str(tmp_path_factory.mktemp("openapi"))]
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


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_answers_as_documented(running: Running, service: str) -> None:
    schema = schemathesis.openapi.from_url(f"{running.addresses[service]}/openapi.json")
    session, problems, tried = requests.Session(), [], 0

    def attempt(case: Any) -> None:
        nonlocal tried
        tried += 1
        request = requests.Request(**case.as_transport_kwargs(base_url=running.addresses[service]))
        try:
            prepared = session.prepare_request(request)
        except ValueError:
            return  # no client could send it
        prepared.headers.update(running.headers(service, prepared))
        case.validate_response(session.send(prepared, timeout=60), checks=CHECKS)

    operations = [each.ok() for each in schema.get_all_operations()]
    for operation in operations:
        try:
            chosen = settings(
                max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            chosen(given(case=operation.as_strategy())(attempt))()
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - all operations are tried before it fails
            parts = getattr(error, "exceptions", [error])
            problems += [f"{operation.method.upper()} {operation.path}: {type(part).__name__} {part}" for part in parts]
    print(f"{service}: {len(operations)} operations, {tried} requests, {len(problems)} problems")
    assert not problems, "\n\n".join(problems)
