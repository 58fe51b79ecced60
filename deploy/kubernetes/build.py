"""The platform for Kubernetes: `python deploy/kubernetes/build.py` writes deploy/kubernetes/platform.yaml.

The same images, ports, secrets and files as docker-compose.yml, for those who outgrow one machine. What differs has a
reason beside it. Replicas find each other through our own registry, by the addresses of their pods; the Services of
Kubernetes are for the registry's name, for the two databases, and for whoever comes from outside.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from settlement.topology import REGISTRY_SERVICE, SERVICES

DEPLOY: Final = Path(__file__).parents[1]
FILE: Final = DEPLOY / "kubernetes" / "platform.yaml"
NAMESPACE: Final = "paylab"
SECRETS: Final = "/run/secrets"
IMAGE, MARIADB, REDIS = "paylab/services", "mariadb:10.11", "redis:7"
USER, DATABASE_USER = 10001, 999  # the latter of the official images of both databases
# Of these the autoscaler may add replicas. All pools together have to stay below the database's max_connections.
SCALED: Final = ("order", "payment", "gateway")
REPLICAS_MIN, REPLICAS_MAX, CPU_PERCENT = 2, 4, 70
READABLE, EXECUTABLE = 0o444, 0o555
Document = dict[str, Any]


def documents() -> list[Document]:
    """Everything, in the order in which it is made."""
    made = [_namespace(), _files("mariadb"), _files("redis"), *_mariadb(), *_redis(), _claim("reports", "1Gi")]
    for name in SERVICES:
        made += [_deployment(name), _service(name, SERVICES[name].port)]
    return made + [_autoscaler(name) for name in SCALED]


def _named(kind: str, version: str, name: str, **more: Any) -> Document:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": _labels(name)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def _labels(name: str) -> Document:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "paylab"}


def _namespace() -> Document:
    # Whatever is not hardened is refused by the cluster itself.
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def _files(folder: str) -> Document:
    """The very files that Compose mounts."""
    content = {path.name: LiteralScalarString(path.read_text()) for path in sorted((DEPLOY / folder).iterdir())}
    return _named("ConfigMap", "v1", folder, data=content)


def _service(name: str, port: int) -> Document:
    return _named("Service", "v1", name, spec={"selector": _labels(name), "ports": [{"name": "main", "port": port}]})


def _claim(name: str, size: str) -> Document:
    return _named("PersistentVolumeClaim", "v1", name, spec=_disk(size))


def _disk(size: str) -> Document:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}


def _autoscaler(name: str) -> Document:
    busy = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": CPU_PERCENT}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec: Document = {"scaleTargetRef": target, "minReplicas": REPLICAS_MIN, "maxReplicas": REPLICAS_MAX}
    spec["metrics"] = [{"type": "Resource", "resource": busy}]
    return _named("HorizontalPodAutoscaler", "autoscaling/v2", name, spec=spec)


def _deployment(name: str) -> Document:
    # A registry of two would be two registries; a disk is mounted by one. Neither may meet its own successor.
    alone = name in (REGISTRY_SERVICE, "reporting")
    spec: Document = {} if name in SCALED else {"replicas": 1}
    spec |= {"strategy": {"type": "Recreate" if alone else "RollingUpdate"}, "selector": {"matchLabels": _labels(name)}}
    data = {"persistentVolumeClaim": {"claimName": "reports"}} if name == "reporting" else {"emptyDir": {}}
    volumes = {"tmp": {"emptyDir": {}}, "data": data, "secrets": _secret(name)}
    mounts = {"tmp": "/tmp", "data": "/var/lib/paylab", "secrets": SECRETS}  # noqa: S108 - inside the container
    container = _container(name, IMAGE, mounts, cpu=("100m", "1"), memory=("128Mi", "192Mi"))
    container |= {
        "args": _arguments(name),
        "env": _environment(name),
        "ports": [{"containerPort": SERVICES[name].port}],
    }
    container |= _probes(SERVICES[name].port)
    return _named("Deployment", "apps/v1", name, spec={**spec, "template": _pod(name, container, volumes, USER)})


def _arguments(name: str) -> list[str]:
    # By its pod's name and address: two replicas must not share either.
    own = ["--service", name, "--replica", "$(POD_NAME)", "--advertise", "$(POD_IP)"]
    port = SERVICES[REGISTRY_SERVICE].port
    return own if name == REGISTRY_SERVICE else [*own, "--registry", f"http://{REGISTRY_SERVICE}:{port}"]


def _environment(name: str) -> list[Document]:
    secret = ["service_secret", "jwt_secret", "notify_secret", "operator_token", "database_url", "redis_url"]
    secret += ["eureka_token"] if name == REGISTRY_SERVICE else []
    given = {f"PAYLAB_{each.upper()}_FILE": f"{SECRETS}/{each}" for each in secret} | {"PAYLAB_PROFILE": "prod"}
    fields = {"POD_NAME": "metadata.name", "POD_IP": "status.podIP"}
    return [{"name": key, "valueFrom": {"fieldRef": {"fieldPath": path}}} for key, path in fields.items()] + [
        {"name": key, "value": value} for key, value in given.items()
    ]


def _probes(port: int) -> Document:
    """Who is not ready in two minutes, or silent for one, is started again; who is not ready later is left alone."""
    asked = [{"path": f"/health/{each}", "port": port} for each in ("live", "ready")]
    live, ready = ({"httpGet": each, "timeoutSeconds": 5} for each in asked)
    return {
        "startupProbe": {**ready, "periodSeconds": 2, "failureThreshold": 60},
        "livenessProbe": {**live, "periodSeconds": 10, "failureThreshold": 6},
        "readinessProbe": {**ready, "periodSeconds": 5, "failureThreshold": 2},
    }


def _mariadb() -> list[Document]:
    users = [{"key": name, "path": f"users/{name}"} for name in (*SERVICES, "lab")]
    sources = [{"secret": {"name": "mariadb"}}, {"secret": {"name": "mariadb-users", "items": users}}]
    volumes = {
        "tmp": {"emptyDir": {}},
        "run": {"emptyDir": {}},
        "secrets": {"projected": {"sources": sources, "defaultMode": READABLE}},
        "files": {"configMap": {"name": "mariadb", "defaultMode": EXECUTABLE}},
    }
    mounts = {"tmp": "/tmp", "run": "/run/mysqld", "secrets": SECRETS, "data": "/var/lib/mysql:mysql"}  # noqa: S108 - inside the container
    mounts["files"] = "/etc/mysql/conf.d/paylab.cnf:paylab.cnf"
    container = _container("mariadb", MARIADB, mounts, cpu=("500m", "2"), memory=("512Mi", "768Mi"))
    init = {"name": "files", "mountPath": "/docker-entrypoint-initdb.d/10-schemas.sh", "subPath": "schemas.sh"}
    container["volumeMounts"].append({**init, "readOnly": True})
    container["env"] = [{"name": "MARIADB_ROOT_PASSWORD_FILE", "value": f"{SECRETS}/root_password"}]
    container |= _asked("healthcheck.sh --connect --innodb_initialized")
    return _database("mariadb", 3306, container, volumes, "10Gi")


def _redis() -> list[Document]:
    volumes = {"tmp": {"emptyDir": {}}, "secrets": _secret("redis"), "files": {"configMap": {"name": "redis"}}}
    mounts = {"tmp": "/tmp", "secrets": SECRETS, "data": "/data:redis"}  # noqa: S108 - inside the container
    mounts["files"] = "/usr/local/etc/redis/redis.conf:redis.conf"
    container = _container("redis", REDIS, mounts, cpu=("100m", "500m"), memory=("192Mi", "256Mi"))
    container["args"] = ["redis-server", "/usr/local/etc/redis/redis.conf"]
    container |= _asked(f'REDISCLI_AUTH="$(cat {SECRETS}/password)" redis-cli ping | grep -q PONG')
    return _database("redis", 6379, container, volumes, "1Gi")


def _asked(script: str) -> Document:
    probe = {"exec": {"command": ["sh", "-c", script]}, "timeoutSeconds": 5}
    # No liveness: a database that is slow to recover must not be killed for it.
    return {
        "startupProbe": {**probe, "periodSeconds": 2, "failureThreshold": 150},
        "readinessProbe": {**probe, "periodSeconds": 5},
    }


def _database(name: str, port: int, container: Document, volumes: Document, size: str) -> list[Document]:
    container["ports"] = [{"containerPort": port}]
    claim = {"metadata": {"name": "data"}, "spec": _disk(size)}
    spec = {"serviceName": name, "replicas": 1, "selector": {"matchLabels": _labels(name)}}
    spec |= {"template": _pod(name, container, volumes, DATABASE_USER), "volumeClaimTemplates": [claim]}
    return [_named("StatefulSet", "apps/v1", name, spec=spec), _service(name, port)]


def _secret(name: str) -> Document:
    return {"secret": {"secretName": name, "defaultMode": READABLE}}


def _container(
    name: str, image: str, mounts: dict[str, str], *, cpu: tuple[str, str], memory: tuple[str, str]
) -> Document:
    """`mounts`: volume -> path, or path:file within the volume. `cpu` and `memory`: what it asks for, and its limit."""
    resources = {
        which: {"cpu": of_cpu, "memory": of_memory}
        for which, of_cpu, of_memory in zip(("requests", "limits"), cpu, memory, strict=True)
    }
    hardened = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    mounted = [_mount(volume, *path.split(":")) for volume, path in mounts.items()]
    return {
        "name": name, "image": image, "imagePullPolicy": "IfNotPresent", "resources": resources,
        "securityContext": hardened, "volumeMounts": mounted,
    }  # fmt: skip


def _mount(volume: str, path: str, inside: str = "") -> Document:
    mount: Document = {"name": volume, "mountPath": path} | ({"subPath": inside} if inside else {})
    return mount | ({"readOnly": True} if volume in ("secrets", "files") else {})


def _pod(name: str, container: Document, volumes: Document, user: int) -> Document:
    context = {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": user, "fsGroup": user}
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "shareProcessNamespace": True,  # so that a service is not process 1, which cannot even kill itself
        "securityContext": {**context, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 30,
        "containers": [container],
        "volumes": [{"name": key, **source} for key, source in volumes.items()],
    }
    return {"metadata": {"labels": _labels(name)}, "spec": spec}


def text() -> str:
    """The file."""
    yaml = YAML()
    yaml.width = 160
    yaml.representer.ignore_aliases = lambda _data: True
    yaml.indent(mapping=2, sequence=4, offset=2)
    written = StringIO()
    written.write("# Made by deploy/kubernetes/build.py; change it there. How to use it: docs/kubernetes.md.\n")
    yaml.dump_all(documents(), written)
    return written.getvalue()


if __name__ == "__main__":
    FILE.write_text(text())
