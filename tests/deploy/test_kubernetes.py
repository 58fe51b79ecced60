"""The platform for Kubernetes, validated without a cluster: complete, hardened, told what the services understand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from scenarios.worlds import compose_secrets
from settlement.chassis.environment import with_files
from settlement.chassis.secrets import secrets_from
from settlement.serve import parse
from settlement.settings import defaults
from settlement.topology import REGISTRY_SERVICE, SERVICES

DEPLOY = Path(__file__).parents[2] / "deploy"
FILE = DEPLOY / "kubernetes" / "platform.yaml"
DOCUMENTS: list[dict[str, Any]] = list(YAML(typ="safe").load_all(FILE.read_text()))


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each["spec"] for each in DOCUMENTS if each["kind"] == kind}


DEPLOYMENTS = of_kind("Deployment")
PODS = {name: spec["template"]["spec"] for name, spec in {**DEPLOYMENTS, **of_kind("StatefulSet")}.items()}


def test_the_file_is_what_the_definitions_make() -> None:
    spec = importlib.util.spec_from_file_location("paylab_kubernetes", DEPLOY / "kubernetes" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert FILE.read_text() == module.text(), "run python deploy/kubernetes/build.py"


def test_every_service_of_the_topology_is_deployed_at_its_port() -> None:
    assert list(DEPLOYMENTS) == list(SERVICES)
    ports = {name: spec["ports"][0]["port"] for name, spec in of_kind("Service").items()}
    assert ports == {**{service.name: service.port for service in SERVICES.values()}, "mariadb": 3306, "redis": 6379}
    for name, spec in of_kind("Service").items():
        assert spec["selector"] == {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "paylab"}
        assert "type" not in spec, "nothing is published beyond the cluster"


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_hardened_bounded_and_looked_after(name: str) -> None:
    pod, (container,) = PODS[name], PODS[name]["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["shareProcessNamespace"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert {"startupProbe", "readinessProbe"} <= set(container)
    assert ("livenessProbe" in container) == (name in SERVICES)
    assert {mount["name"] for mount in container["volumeMounts"]} - {"data"} <= {
        each["name"] for each in pod["volumes"]
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_understands_its_arguments_and_finds_its_secrets(name: str, tmp_path: Path) -> None:
    (container,) = PODS[name]["containers"]
    words = [word.replace("$(POD_NAME)", f"{name}-7c9d8f6b5d-x2x4z") for word in container["args"]]
    words = [word.replace("$(POD_IP)", "10.1.2.3") for word in words]
    given = parse(["--host", "0.0.0.0", "--data", "/var/lib/paylab", *words])
    (replica,) = given.replicas
    assert (replica.service, replica.replica, replica.port) == (name, f"{name}-7c9d8f6b5d-x2x4z", SERVICES[name].port)
    assert given.listening.advertised == "10.1.2.3"
    compose_secrets.ensure(tmp_path)
    values = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    values = {key: value.replace("/run/secrets", str(tmp_path / name)) for key, value in values.items()}
    environment = with_files(values)
    assert secrets_from(environment).fault is None
    assert environment["PAYLAB_DATABASE_URL"].endswith(f"@mariadb:3306/{name}")


def test_all_users_of_the_database_are_made() -> None:
    projected = next(volume["projected"] for volume in PODS["mariadb"]["volumes"] if volume["name"] == "secrets")
    items = projected["sources"][1]["secret"]["items"]
    assert {item["path"] for item in items} == {f"users/{name}" for name in (*SERVICES, compose_secrets.LAB_USER)}


def test_however_many_replicas_there_are_the_database_has_room_for_their_pools() -> None:
    scaled = of_kind("HorizontalPodAutoscaler")
    assert REGISTRY_SERVICE not in scaled
    assert all("replicas" not in DEPLOYMENTS[name] for name in scaled), "or every update would set them back"
    most = sum(scaled[name]["maxReplicas"] if name in scaled else 1 for name in SERVICES)
    room = next(line for line in (DEPLOY / "mariadb/paylab.cnf").read_text().splitlines() if "max_connections" in line)
    assert most * int(str(defaults()["database.pool_max"])) < int(room.rpartition("=")[2])
