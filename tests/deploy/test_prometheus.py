"""The scrape configuration and the rules: Prometheus takes them, they read what exists, they fire when they should."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from settlement.topology import SERVICES

from ..needs import needs
from .exposed import Exposed
from .queries import series_of

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = sorted(PROMETHEUS.glob("rules/*.yml"))
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()


def _load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def _rules() -> list[dict[str, Any]]:
    return [rule for path in RULES for group in _load(path)["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in _rules() if "alert" in rule]
RECORDED = {rule["record"] for rule in _rules() if "record" in rule}


def _promtool(*arguments: object) -> str:
    (promtool,) = needs("promtool")
    done = subprocess.run([promtool, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_configuration() -> None:
    assert "SUCCESS" in _promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_prometheus_takes_the_rules() -> None:
    assert _promtool("check", "rules", *RULES).count("SUCCESS") == len(RULES)


@pytest.mark.parametrize("file", sorted(PROMETHEUS.glob("tests/*.yml")), ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_only_then(file: Path) -> None:
    assert "SUCCESS" in _promtool("test", "rules", file)


def test_every_alert_is_tested() -> None:
    tests = "".join(path.read_text() for path in PROMETHEUS.glob("tests/*.yml"))
    assert [alert["alert"] for alert in ALERTS if f"alertname: {alert['alert']}" not in tests] == []


def test_every_replica_of_every_service_is_scraped() -> None:
    (job,) = _load(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    scraped = {name: entry["port"] for entry in job["dns_sd_configs"] for name in entry["names"]}
    assert scraped == {service.name: service.port for service in SERVICES.values()}
    assert {entry["type"] for entry in job["dns_sd_configs"]} == {"A"}


def test_rules_read_what_the_services_expose(exposed: dict[Exposed, tuple[str, ...]]) -> None:
    known = {name for metric in exposed for name in metric.series()} | RECORDED | {"up"}
    assert {name for rule in _rules() for name in series_of(rule["expr"])} - known == set()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_it_means_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert {"summary", "description", "runbook_url"} == set(alert["annotations"])
    document, anchor = alert["annotations"]["runbook_url"].split("#")
    headings = re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
    assert document == "docs/runbook.md"
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_series_are_found_in_expressions() -> None:
    found = series_of('sum by (le) (rate(a_bucket{x="b_c",y=~"{z}"}[5m])) / on (i) group_left (j) up > 14.4 * 0.001')
    assert found == {"a_bucket", "up"}
