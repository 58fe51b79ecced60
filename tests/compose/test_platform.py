"""The composed platform as its users, its neighbours and its operators meet it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest

from scenarios.worlds.compose_project import ComposeProject
from scenarios.worlds.supervisor import wait_until
from scenarios.worlds.wire import Unreachable, call
from settlement.topology import SERVICES

from . import playing
from .conftest import Platform

# The first test waits for images that may have to be built.
pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).parents[2]
DEADLINE_S = 180.0
DENIED = {1044, 1045, 1142, 1227}
# Kill what the container's init runs, as a crash point does: from inside.
DIE = (
    "import os; [os.kill(int(p), 9) for p in os.listdir('/proc') if p.isdigit() and p != '1' and int(p) != os.getpid()]"
)


def registered(platform: Platform) -> dict[str, list[str]]:
    try:
        services = call("GET", f"{platform.address('configcenter')}/registry", timeout_s=5.0).body["services"]
    except (Unreachable, AssertionError):
        return {}
    return {service: sorted(entry["replica"] for entry in entries) for service, entries in services.items()}


def all_registered(platform: Platform) -> bool:
    return wait_until(lambda: set(registered(platform)) == set(SERVICES), DEADLINE_S)


def test_every_service_is_healthy_and_registered(platform: Platform) -> None:
    containers = platform.project.ps()
    assert {container.service for container in containers} == {*SERVICES, "mariadb", "redis"}
    assert all(container.is_well for container in containers)
    assert all_registered(platform)


def test_a_user_can_walk_from_registration_to_refund_as_the_readme_prints_it(platform: Platform) -> None:
    text = (ROOT / "README.md").read_text()
    script = text[text.index("```bash\n") + len("```bash\n") :].split("```", 1)[0]
    for service in SERVICES.values():
        script = script.replace(f"http://127.0.0.1:{service.port}/", f"{platform.address(service.name)}/")
    environment = {**os.environ, "PAYLAB_SECRETS": str(platform.project.secrets)}
    bash = ["bash", "-euo", "pipefail"]
    result = subprocess.run(bash, input=script, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr + result.stdout
    order = json.JSONDecoder().raw_decode(result.stdout[result.stdout.rindex('{"order_no"') :])[0]
    assert order["status"] == "refunded"
    assert order["total_minor"] > 0
    assert '"orders_paid":1' in result.stdout
    assert re.search(rf"^.*{order['paid_gid']}.*succeeded", result.stdout, re.MULTILINE)


@contextmanager
def connected(platform: Platform, user: str) -> Iterator[Any]:
    port = platform.container("mariadb").ports[3306]
    connection = pymysql.connect(host="127.0.0.1", port=port, user=user, password=platform.secrets.database[user])
    try:
        yield connection.cursor()
    finally:
        connection.close()


@pytest.mark.parametrize("user", SERVICES)
def test_a_services_user_can_use_its_own_schema_and_no_other(platform: Platform, user: str) -> None:
    with connected(platform, user) as cursor:
        cursor.execute("SHOW DATABASES")
        assert {row[0] for row in cursor.fetchall()} == {user, "information_schema"}
        cursor.execute(f"CREATE TABLE `{user}`.scratch (id INT PRIMARY KEY)")
        cursor.execute(f"DROP TABLE `{user}`.scratch")
        for other in set(SERVICES) - {user}:
            for statement in (
                f"USE `{other}`",
                f"SELECT * FROM `{other}`.outbox",
                f"CREATE TABLE `{other}`.mine (id INT)",
            ):
                with pytest.raises(pymysql.MySQLError) as raised:
                    cursor.execute(statement)
                assert raised.value.args[0] in DENIED


def test_the_lab_reads_every_schema_and_writes_none(platform: Platform) -> None:
    with connected(platform, "lab") as cursor:
        cursor.execute("SHOW DATABASES")
        assert set(SERVICES) <= {row[0] for row in cursor.fetchall()}
        with pytest.raises(pymysql.MySQLError) as raised:
            cursor.execute("CREATE TABLE cart.mine (id INT)")
        assert raised.value.args[0] in DENIED


def test_a_commit_is_on_the_disk_and_reads_see_what_is_committed(platform: Platform) -> None:
    with connected(platform, "gateway") as cursor:
        cursor.execute("SELECT @@innodb_flush_log_at_trx_commit, @@tx_isolation")
        assert cursor.fetchone() == (1, "READ-COMMITTED")


def test_redis_wants_a_password_and_keeps_every_write(platform: Platform) -> None:
    asked = "redis-cli get x; REDISCLI_AUTH=$(cat /run/secrets/password) redis-cli config get 'append*'"
    said = platform.shell("redis", asked)
    assert "NOAUTH" in said
    assert re.search(r"appendonly\s+yes", said)
    assert re.search(r"appendfsync\s+always", said)


def test_no_container_is_root_or_can_write_its_files_or_is_published_to_others(platform: Platform) -> None:
    for container in platform.project.ps():
        said = platform.shell(container.service, "id -u; touch /here /opt/paylab/here 2>&1")
        assert said.splitlines()[0] != "0", container.name
        assert said.count("Read-only file system") >= 1, container.name
        document = json.loads(subprocess.check_output(["docker", "inspect", container.id]))[0]
        bound = [entry["HostIp"] for on in document["NetworkSettings"]["Ports"].values() for entry in on or []]
        assert set(bound) == {"127.0.0.1"}, container.name
        assert document["HostConfig"]["CapDrop"] == ["ALL"], container.name
        secrets = [*platform.secrets.shared.values(), *platform.secrets.database.values()]
        assert not [value for value in secrets if value in json.dumps(document)], container.name


def test_who_dies_from_inside_comes_back_and_who_is_killed_from_outside_does_not(platform: Platform) -> None:
    killed = platform.container("usercenter")
    subprocess.run(["docker", "kill", killed.id], check=True, capture_output=True)
    platform.run("cart", "python", "-c", DIE)

    def is_back() -> bool:
        cart = platform.container("cart")
        return cart.restarts == 1 and cart.is_well

    assert wait_until(is_back, DEADLINE_S)
    assert platform.container("usercenter").state == "exited"
    subprocess.run(["docker", "start", killed.id], check=True, capture_output=True)
    platform.project.await_healthy(DEADLINE_S)
    assert all_registered(platform)


def test_replicas_that_are_added_are_found_and_told_apart(platform: Platform) -> None:
    platform.project.scale("gateway", 2)
    platform.project.await_healthy(DEADLINE_S)
    names = {f"gateway-{platform.container('gateway', number).id[:12]}" for number in (1, 2)}
    assert wait_until(lambda: set(registered(platform).get("gateway", [])) == names, DEADLINE_S)
    assert platform.address("gateway", 1) != platform.address("gateway", 2)
    platform.project.scale("gateway", 1)
    assert wait_until(lambda: len(registered(platform).get("gateway", [])) == 1, DEADLINE_S)


def test_a_run_plays_on_it_and_leaves_it_as_it_was(platform: Platform, tmp_path: Path) -> None:
    before = playing.looks(platform.project.name, platform.secrets.fault_token)
    short = playing.scenario(tmp_path, long="4s", load="12s")
    words = ["run", str(short), "--world", "compose", "--attach", platform.project.name, "--json"]
    process = playing.paylab(*words, "--out", str(tmp_path / "runs"), folder=tmp_path)
    stdout, stderr = process.communicate()
    assert process.returncode in (0, 1), stderr
    failed = [check for check in json.loads(stdout)["checks"] if check["verdict"] != "pass"]
    assert (json.loads(stdout)["verdict"], failed) == ("pass", []), stderr
    assert playing.looks(platform.project.name, platform.secrets.fault_token) == before
    assert all(container.is_well for container in platform.project.ps())


def test_what_a_killed_run_did_to_it_is_put_back(platform: Platform, tmp_path: Path) -> None:
    before = playing.looks(platform.project.name, platform.secrets.fault_token)
    endless = playing.scenario(tmp_path, long="80s", load="60s", recovery="30s")
    words = ["run", str(endless), "--world", "compose", "--attach", platform.project.name]
    process = playing.paylab(*words, "--out", str(tmp_path / "runs"), folder=tmp_path)
    run = playing.killed_amid_faults(process, tmp_path / "runs")
    hurt = playing.looks(platform.project.name, platform.secrets.fault_token)
    same = {name for name in before if hurt[name] == before[name]}
    assert same.isdisjoint({"message-0", "cart-0", "statistics-0", "redis", "reporting-0", "gateway-0"})
    recovery = playing.paylab("recover", str(run), folder=tmp_path)
    said = "".join(recovery.communicate())
    assert recovery.returncode == 0, said
    assert "the run did not undo: f1: end the partition of message-0" in said
    assert playing.looks(platform.project.name, platform.secrets.fault_token) == before
    assert all(container.is_well for container in platform.project.ps())


@pytest.fixture
def loaded(platform: Platform) -> ComposeProject:
    project = replace(platform.project, profiles=("load",))
    project.build()
    project.up(["locust-master", "locust-worker"], scale={"locust-worker": 2})
    project.await_healthy()
    return project


def test_locust_attaches_its_workers_and_drives_the_platform(loaded: ComposeProject) -> None:
    address = loaded.address("locust-master")

    def stats() -> Any:
        return call("GET", f"{address}/stats/requests", timeout_s=5.0).body

    assert wait_until(lambda: len(stats()["workers"]) == 2, DEADLINE_S)
    # Locust takes a form and answers in plain words; the lab's own client speaks JSON only.
    urllib.request.urlopen(f"{address}/swarm", b"user_count=4&spawn_rate=4", timeout=10).close()

    def paid() -> list[Any]:
        return [entry for entry in stats()["stats"] if entry["name"] == "pay"]

    assert wait_until(lambda: bool(paid()), DEADLINE_S)
    assert {worker["state"] for worker in stats()["workers"]} <= {"running", "spawning"}
    assert [entry["num_failures"] for entry in paid()] == [0], stats()["errors"]
    urllib.request.urlopen(f"{address}/stop", b"", timeout=10).close()


def test_prometheus_finds_every_replica(platform: Platform) -> None:
    project = replace(platform.project, profiles=("observability",))
    project.up(["prometheus"])
    project.await_healthy()
    address = project.address("prometheus")

    def up() -> set[str]:
        targets = call("GET", f"{address}/api/v1/targets?state=active", timeout_s=5.0).body["data"]["activeTargets"]
        return {target["labels"]["service"] for target in targets if target["health"] == "up"}

    assert wait_until(lambda: up() == set(SERVICES), DEADLINE_S)
