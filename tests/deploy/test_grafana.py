"""Dashboards and provisioning, validated without Grafana: they parse, and every query reads what exists."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ruamel.yaml import YAML

from ..needs import needs
from .exposed import Exposed
from .queries import series_of
from .test_prometheus import RECORDED

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
DASHBOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in FILES}
PANELS = [(name, panel) for name, dashboard in DASHBOARDS.items() for panel in dashboard["panels"]]
EXPRESSIONS = [target["expr"] for _, panel in PANELS for target in panel["targets"]]


def _build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("paylab_dashboards", GRAFANA / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


def test_the_files_are_what_the_definitions_make() -> None:
    build = _build()
    assert {path.stem: path.read_text() for path in FILES} == {name: build.text(name) for name in build.DASHBOARDS}


def test_dashboards_can_be_told_apart() -> None:
    uids = [dashboard["uid"] for dashboard in DASHBOARDS.values()]
    titles = [dashboard["title"] for dashboard in DASHBOARDS.values()]
    assert len(set(uids)) == len(set(titles)) == len(DASHBOARDS) >= 5
    assert max(map(len, uids)) <= 40


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_a_title_a_unit_a_place_and_queries(name: str) -> None:
    panels = DASHBOARDS[name]["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels})
    for panel in panels:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0


def test_queries_read_what_the_services_expose(exposed: dict[Exposed, tuple[str, ...]]) -> None:
    known = {name for metric in exposed for name in metric.series()} | RECORDED | {"up"}
    assert {name for expression in EXPRESSIONS for name in series_of(expression)} - known == set()


def test_queries_group_by_labels_that_exist(exposed: dict[Exposed, tuple[str, ...]]) -> None:
    labels = {label for metric in exposed for label in metric.labels} | {"le", "service", "instance"}
    grouped = [part.split(")")[0] for expression in EXPRESSIONS for part in expression.split(" by (")[1:]]
    assert {label.strip() for part in grouped for label in part.split(",")} <= labels


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    (promtool,) = needs("promtool")
    rules = [
        {"record": f"check:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "queries.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(EXPRESSIONS)} rules found" in done.stdout


def test_provisioning_names_the_sources_that_panels_use() -> None:
    sources = YAML(typ="safe").load((GRAFANA / "provisioning/datasources/paylab.yml").read_text())["datasources"]
    uids = {source["uid"] for source in sources}
    assert {source["type"] for source in sources} == {"prometheus", "jaeger"}
    assert {panel["datasource"]["uid"] for _, panel in PANELS} <= uids
    (provider,) = YAML(typ="safe").load((GRAFANA / "provisioning/dashboards/paylab.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
