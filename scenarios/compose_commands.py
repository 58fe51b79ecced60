"""`paylab up|down --world compose`: the platform in containers, as `make up` and `make down` start and stop it.

Containers outlive the command that starts them, so there is no keeper and no state file: the engine knows what runs.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from scenarios.console import output, say
from scenarios.plan import PlatformPlan
from scenarios.worlds import compose_secrets
from scenarios.worlds.base import WorldError
from scenarios.worlds.compose_project import (
    PORTS,
    PUBLISHED,
    ComposeProject,
    Container,
    compose_command,
    engine_problem,
    port_variable,
)
from scenarios.worlds.wire import Unreachable, call
from settlement.topology import REGISTRY_SERVICE, SERVICES

STAND_INS = "where no image registry can be reached, .ci/images/build makes stand-ins for the base images"


def up(plan: PlatformPlan, port: int) -> None:
    """Build, start, wait until everything is healthy, print where it listens. Raises WorldError."""
    if plan.topology not in ("split", PlatformPlan().topology):
        raise WorldError(f"the topology {plan.topology} is for processes; in containers every service has its own")
    secrets = compose_secrets.ensure(compose_secrets.DEFAULT_FOLDER)
    compose_secrets.announce(compose_secrets.DEFAULT_FOLDER, compose_secrets.PROJECT_DIRECTORY)
    project = _project(port, plan.settings)
    say("building the images (minutes the first time, seconds later) ...")
    try:
        project.build()
    except WorldError as error:
        raise WorldError(f"{error}\n{STAND_INS}") from error
    say("starting the containers ...")
    project.up(scale=plan.replicas)
    containers = project.await_healthy(on_change=say)
    registry = project.address(REGISTRY_SERVICE)
    if registry is None:
        raise WorldError("the config center is published nowhere")
    if plan.settings:
        _change(f"{registry}/config/{project.profile()}", plan.settings, secrets.operator_token)
    show(containers, registry)


def down(volumes: bool) -> None:
    """Stop and remove the containers; with `volumes`, the databases and the secrets they were made with too."""
    project = _project(SERVICES[REGISTRY_SERVICE].port, {})
    if not compose_secrets.DEFAULT_FOLDER.exists() and not project.ps():
        say("no platform is up")
        return
    project.down(volumes=volumes)
    if volumes:
        compose_secrets.remove(compose_secrets.DEFAULT_FOLDER)
    kept = "its databases and secrets are deleted" if volumes else "its databases are kept; --volumes deletes them"
    say(f"stopped the platform; {kept}")


def composed() -> tuple[str, str] | None:
    """Registry and operator's token of the platform that `up` starts, running or not; None if it never was."""
    try:
        secrets = compose_secrets.known(compose_secrets.DEFAULT_FOLDER)
    except (OSError, ValueError):
        return None
    return f"http://127.0.0.1:{_published(REGISTRY_SERVICE)}", secrets.operator_token


def show(containers: list[Container], registry: str) -> None:
    """The addresses, and how to put load on it and watch it."""
    rows = [("registry", registry)]
    for container in containers:
        scheme = "" if container.service in ("mariadb", "redis") else "http://"
        rows.append((container.name, f"{scheme}127.0.0.1:{container.ports[PORTS[container.service]]}"))
    compose = " ".join(compose_command())
    rows += [
        ("operator", f"header Paylab-Operator-Token: $(cat .secrets/{REGISTRY_SERVICE}/operator_token)"),
        ("logs", f"{compose} logs --follow gateway"),
        ("load it", f"{compose} --profile load up -d --scale locust-worker=4"),
        ("", f"then http://127.0.0.1:{_published('locust-master')}"),
        ("watch it", f"{compose} --profile observability up -d"),
        ("", f"then Grafana at http://127.0.0.1:{_published('grafana')}, Prometheus at :{_published('prometheus')}"),
        ("stop it", "make down"),
    ]
    for name, value in rows:
        output.print(f"{name:<18}{value}", highlight=False, markup=False, soft_wrap=True)


def _project(port: int, settings: Mapping[str, Any]) -> ComposeProject:
    problem = engine_problem()
    if problem is not None:
        raise WorldError(f"{problem}; start an engine, or use --world processes, which needs none")
    environment = {}
    if port != SERVICES[REGISTRY_SERVICE].port:
        environment[port_variable(REGISTRY_SERVICE)] = str(port) if port else ""  # nothing written: any free one
    if settings:
        environment["PAYLAB_CONFIG"] = json.dumps(dict(settings))
    name = os.environ.get("COMPOSE_PROJECT_NAME") or compose_secrets.DEFAULT_PROJECT
    return ComposeProject(name, compose_secrets.DEFAULT_FOLDER, environment=environment)


def _published(service: str) -> str:
    return os.environ.get(port_variable(service)) or str(PUBLISHED[service])


def _change(address: str, settings: Mapping[str, Any], operator_token: str) -> None:
    """Put the settings in force where the config center has had others since an earlier start."""
    try:
        known = call("GET", address).body["values"]
        if settings.items() <= known.items():
            return
        headers = {"Paylab-Operator-Token": operator_token}
        reply = call("PUT", address, body={"values": {**known, **settings}}, headers=headers)
    except Unreachable as error:
        raise WorldError(f"the platform is up, but its settings could not be changed: {error}") from error
    if reply.status != 200:
        raise WorldError(f"the platform is up, but the config center refused the settings: {reply.body}")
