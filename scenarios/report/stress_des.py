"""The page that reports the model by STRESS-DES (Monks et al., 2019), made from the code and the shipped data.

Whatever the code knows is read from it: metrics, scenarios, faults, settings, modules, demands, precision. What only
people know (purpose, assumptions) stands in the template.
"""

import ast
import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import simulator
from scenarios.spec import catalogue_names, load_scenario
from scenarios.thresholds import JOURNEY_STEPS, METRICS
from settlement import settings, topology
from settlement.protocol import coordinator, shipped
from settlement.protocol.diagrams import state_diagram
from simulator.analysis import Precision
from simulator.calibration import Assumed
from simulator.capacity import Effort
from simulator.model import SETTLE_S_MAX
from simulator.recorder import COLUMNS
from simulator.timeline import FAULT_KINDS

LIBRARIES = ("numpy", "scipy", "pandas", "numba", "simpy", "joblib")
READ_SETTING = re.compile(r"setting(?:_s)?\(\s*\"([a-z_.]+)\"")
Row = dict[str, Any]


def page(root: Path) -> str:
    """The page as Markdown; `root` is the repository, whose pins it names."""
    environment = Environment(
        loader=PackageLoader("scenarios", "report"), autoescape=False, undefined=StrictUndefined,  # noqa: S701 - Markdown
        keep_trailing_newline=True, trim_blocks=False,
    )  # fmt: skip
    document = _calibration()
    return environment.get_template("stress_des.md.j2").render(
        tables=list(COLUMNS),
        metrics=METRICS,
        scenarios=[(name, load_scenario(name).question) for name in catalogue_names()],
        coordinator=state_diagram(coordinator.TRANSITIONS),
        journeys=list(JOURNEY_STEPS.items()),
        topologies=list(topology.TOPOLOGIES),
        protocols=list(shipped.PROTOCOLS),
        faults=sorted(FAULT_KINDS),
        settings=[settings.SETTINGS[name] for name in settings_read()],
        modules=list(_modules()),
        calibration=document,
        demands=list(_demands(document)),
        constants=[(name, value) for name, value in document.items() if isinstance(value, int | float)],
        assumed=list(_assumed()),
        effort=Effort(),
        settle_s=f"{SETTLE_S_MAX:g}",
        precision=Precision(),
        level=f"{Precision().level * 100:g}",
        python=_python(root),
        libraries=_pins(root),
    )


def settings_read() -> list[str]:
    """The settings that the model's code asks for, and therefore those that change anything in it."""
    found = {name for _, text in _sources() for name in READ_SETTING.findall(text)}
    return sorted(found & set(settings.SETTINGS))


def _sources() -> Iterator[tuple[str, str]]:
    for path in sorted(resources.files(simulator).iterdir(), key=lambda each: each.name):
        if path.name.endswith(".py") and path.name != "__init__.py":
            yield path.name, path.read_text(encoding="utf-8")


def _modules() -> Iterator[tuple[str, str]]:
    """Each module with the first sentence of what it says of itself."""
    for name, text in _sources():
        said = " ".join((ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].split())
        yield name, re.split(r"(?<=[a-z)])\.(?= |$)", said)[0].rstrip(".:").replace("|", "\\|")


def _calibration() -> Row:
    document: Row = json.loads((resources.files(simulator) / "calibration" / "default.json").read_text())
    return document


def _demands(document: Row) -> Iterator[Row]:
    for service, routes in document["endpoints"].items():
        for route, figures in routes.items():
            yield {
                "service": service, "route": route, "cpu_ms": figures["cpu_ms"],
                "variation": figures.get("variation", 0), "wait_ms": figures.get("wait_ms", 0),
            }  # fmt: skip


def _assumed() -> Iterator[tuple[str, str, str]]:
    """What is taken for granted, under its name in a calibration."""
    figures = Assumed()
    risk = f"cpu_ms {figures.risk.cpu_s * 1000:g}, variation {figures.risk.variation:g}"
    yield "risk", risk, "a visit to risk, where a calibration has no figures of it"
    yield "refusal_cpu_ms", f"{figures.refusal_cpu_s * 1000:g}", "turning a request away at the door"
    yield "behind", f"{figures.behind:g}", "share of a visit's CPU that comes when the answer has left"
    yield "before", f"{figures.before:g}", "share of a call's CPU that comes before the wait for its answer"
    yield "aside", f"{figures.aside:g}", "share of a client's CPU for a request that is outside of what it measures"
    spared = "share of reading a cart or the list of goods that an answer from memory spares"
    yield "cached_read_spares", f"{figures.cached_read_spares:g}", spared


def _python(root: Path) -> str:
    (needed,) = re.findall(r'requires-python = "(.*)"', (root / "pyproject.toml").read_text(encoding="utf-8"))
    return str(needed)


def _pins(root: Path) -> list[str]:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    return [f"{name} {pinned[name]}" for name in LIBRARIES]
