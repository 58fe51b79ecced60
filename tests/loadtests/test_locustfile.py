"""Plain Locust works: headless, with our options, and with clear words for a host that is no registry."""

import json
import subprocess
import sys
from pathlib import Path

from tests.loadtests.stub import Stub, serving

ROOT = Path(__file__).parents[2]


def _locust(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)


def test_headless_run_with_all_journeys(tmp_path: Path) -> None:
    report = tmp_path / "stats"
    options = ("-u", "4", "-r", "4", "-t", "3s", "--mix", "pay=1,browse=1,refund=1", "--think", "0.05")
    with serving(Stub()) as stub:
        ran = _locust("--host", stub.address, *options, "--json-file", str(report))
    assert ran.returncode == 0, ran.stderr
    stats = {entry["name"]: entry for entry in json.loads(report.with_suffix(".json").read_text())}
    assert {"goods_list", "goods", "cart_get", "cart_put", "order_create", "pay", "refund"} <= set(stats)
    assert all(entry["num_failures"] == 0 for entry in stats.values())
    assert stats["pay"]["num_requests"] > 5
    assert stub.accounts == 4
    assert stub.mixed_carts == 0


def test_a_host_that_is_no_registry_is_named() -> None:
    with serving(Stub()) as stub:
        ran = _locust("--host", f"{stub.address}/goods", "-u", "1", "-t", "5s")
    assert ran.returncode == 2
    assert "is not a paylab registry" in ran.stderr
    assert stub.address in ran.stderr


def test_bad_shares_are_refused_with_all_reasons() -> None:
    with serving(Stub()) as stub:
        ran = _locust("--host", stub.address, "-u", "1", "-t", "5s", "--mix", "pay=x,fly=1")
    assert ran.returncode == 2
    assert "'pay=x'" in ran.stderr
    assert "'fly'" in ran.stderr


def test_importing_the_pure_parts_patches_nothing() -> None:
    modules = ["dispatch", "outcomes", "recorder", "registry", "mix", "users.journeys", "users.accounts"]
    imports = ", ".join(f"loadtests.{module}" for module in modules)
    code = f"import sys, {imports}; sys.exit('gevent' in sys.modules or 'locust' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
