"""docker-compose.yml and what it mounts, without an engine: complete, hardened, loopback only, no credentials."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from scenarios.worlds.compose_project import BUILT_BY, PORTS, PROFILES, PUBLISHED, compose_command, port_variable
from settlement.topology import SERVICES
from tests.needs import needs

ROOT = Path(__file__).parents[2]
COMPOSE = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())["services"]
LOCUST_WORKER = "locust-worker"


def test_every_service_of_the_topology_is_composed_at_its_port() -> None:
    own = {name: service for name, service in COMPOSE.items() if service.get("image", "").endswith("/services")}
    assert list(own) == list(SERVICES)
    for name, service in own.items():
        assert service["command"][:2] == ["--service", name]
        assert service["ports"] == [published(name, SERVICES[name].port)]


def test_profile_version_weight_and_storage_can_be_chosen_from_outside() -> None:
    for name in SERVICES:
        environment = COMPOSE[name]["environment"]
        assert environment["PAYLAB_PROFILE"] == "${PAYLAB_PROFILE:-dev}"
        assert environment["PAYLAB_VERSION"] == "${PAYLAB_VERSION:-}"
        assert environment["PAYLAB_WEIGHT"] == "${PAYLAB_WEIGHT:-}"
        wanted = {f"PAYLAB_S3_{each}" for each in ("ENDPOINT", "KEY_FILE", "SECRET_FILE")} & set(environment)
        assert bool(wanted) == (name == "reporting")


def published(name: str, port: int) -> str:
    return f"127.0.0.1:${{{port_variable(name)}-{PUBLISHED[name]}}}:{port}"


def test_all_ports_are_on_loopback_and_can_be_any_free_one() -> None:
    found = {name: service["ports"] for name, service in COMPOSE.items() if "ports" in service}
    assert found == {name: [published(name, port)] for name, port in PORTS.items()}
    usual = [ports[0].split("-", 1)[1].split("}")[0] for ports in found.values()]
    assert len(set(usual)) == len(usual)


@pytest.mark.parametrize("name", COMPOSE)
def test_every_container_is_hardened_and_bounded(name: str) -> None:
    service = COMPOSE[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["restart"] == "${PAYLAB_RESTART:-unless-stopped}"
    assert service["mem_limit"].endswith("m")
    assert 0 < service["cpus"] <= 2
    assert service["logging"]["options"]["max-size"] == "10m"
    assert not {"privileged", "network_mode", "pid", "cap_add"} & set(service)
    assert set(service.get("profiles", [])) <= set(PROFILES)


@pytest.mark.parametrize("name", [name for name in COMPOSE if not COMPOSE[name]["image"].endswith("/services")])
def test_whatever_has_no_health_check_in_its_image_has_one_here(name: str) -> None:
    assert COMPOSE[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


def test_nothing_secret_is_written_down() -> None:
    for service in COMPOSE.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("SECRET|TOKEN|PASSWORD|DATABASE_URL|REDIS_URL", variable):
                assert variable.endswith("_FILE"), variable
                assert value.startswith(("/run/secrets/", "${")), variable
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", ".secrets/"} <= set(ignored)


def test_prometheus_asks_every_service_at_its_port() -> None:
    config: Any = YAML(typ="safe").load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    job = next(job for job in config["scrape_configs"] if job["job_name"] == "paylab")
    asked = {entry["names"][0]: entry["port"] for entry in job["dns_sd_configs"]}
    assert asked == {service.name: service.port for service in SERVICES.values()}


def test_all_mounted_files_are_in_the_repository() -> None:
    mounts = [volume for service in COMPOSE.values() for volume in service.get("volumes", [])]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert files
    missing = [file for file in files if not (ROOT / file).exists()]
    assert not missing


def test_whoever_is_first_has_our_image_built_and_nobody_pulls_it() -> None:
    ours = {name: service for name, service in COMPOSE.items() if "PAYLAB_IMAGES" in service["image"]}
    assert set(ours) == {*SERVICES, "locust-master", LOCUST_WORKER}
    for service in ours.values():
        assert service["build"]["target"] == service["image"].rpartition("/")[2]
        assert service["pull_policy"] == "never"
    assert set(BUILT_BY.values()) <= set(ours)


# What both Composes know and the platform needs. Anything else wants a look at whether 1.29 and v2 mean the same by it.
KEYS = {
    "build", "cap_drop", "command", "cpus", "depends_on", "environment", "healthcheck", "image", "init", "logging",
    "mem_limit", "pids_limit", "ports", "profiles", "pull_policy", "read_only", "restart", "security_opt",
    "stop_grace_period", "tmpfs", "user", "volumes",
}  # fmt: skip


def test_the_file_says_only_what_both_composes_read() -> None:
    document = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
    assert {key for key in document if not key.startswith("x-")} == {"services", "volumes"}
    assert {key for service in COMPOSE.values() for key in service} <= KEYS
    assert set(document["volumes"].values()) == {None}
    named = {volume.split(":")[0] for service in COMPOSE.values() for volume in service.get("volumes", [])}
    assert {name for name in named if name.isalnum()} == set(document["volumes"])


def test_the_installed_compose_reads_it_and_asks_for_the_secrets(tmp_path: Path) -> None:
    needs("docker")
    (tmp_path / ".env").touch()
    command = [*compose_command(), f"--env-file={tmp_path / '.env'}", "--project-name=read"]
    command += [*(f"--profile={profile}" for profile in PROFILES), "config"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PAYLAB_")}

    def read(**added: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=ROOT, env=environment | added, capture_output=True, text=True, check=False)

    refused = read()
    assert refused.returncode != 0
    assert "make secrets" in refused.stderr
    # An empty port is any free one, which scaling needs.
    good = read(PAYLAB_SECRETS=str(tmp_path), PAYLAB_GATEWAY_PORT="")
    assert good.returncode == 0, good.stderr
    assert set(YAML(typ="safe").load(good.stdout)["services"]) == set(COMPOSE)


def test_images_are_pinned() -> None:
    foreign = [service["image"] for service in COMPOSE.values() if "PAYLAB_IMAGES" not in service["image"]]
    assert all(re.fullmatch(r"[a-z/-]+:v?[0-9][0-9.]*", image) for image in foreign), foreign


@pytest.mark.parametrize(
    "script", [*ROOT.glob("deploy/**/*.sh"), *ROOT.glob(".ci/images/**/*.sh"), ROOT / ".ci/images/build"]
)
def test_scripts_parse_and_may_be_executed(script: Path) -> None:
    shell = "bash" if "bash" in script.read_text().split("\n", 1)[0] else "sh"
    assert subprocess.run([shell, "-n", script], check=False).returncode == 0
    assert script.stat().st_mode & 0o111
