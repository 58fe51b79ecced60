"""What an exploration found, for people and programs: a document, a page, and the files of its counterexamples."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from simulator.explorer import diagram, story
from simulator.explorer.engine import Exploration, Judged, Verdict
from simulator.explorer.parts import ANYBODY, Bounds
from simulator.explorer.protocol import ProtocolModel

TONES = {Verdict.HOLDS: "pass", Verdict.VIOLATED: "fail", Verdict.INCOMPLETE: "unknown"}
MARKS = {Verdict.HOLDS: "✓", Verdict.VIOLATED: "✗", Verdict.INCOMPLETE: "?"}
HEADLINES = {
    Verdict.HOLDS: "No: every reachable state was seen, and every property holds.",
    Verdict.VIOLATED: "Yes: the shortest story of how is below.",
    Verdict.INCOMPLETE: "Not known: the search ended before every state was seen, and nothing was wrong up to there.",
}
STOPPED = {"states": "the limit of states was reached", "time": "the time was up", "violation": "a violation was found"}


@dataclass(frozen=True)
class Explored:
    """One exploration of the protocol."""

    bounds: Bounds
    found: Exploration[int, int]
    stories: tuple[tuple[Judged[int], story.Story], ...]


def explored(model: ProtocolModel, found: Exploration[int, int]) -> Explored:
    """With the stories of what is violated told."""
    with_path = [each for each in found.violations if each.path]
    return Explored(model.bounds, found, tuple((each, story.tell(model, each.path, each.loop)) for each in with_path))


def document(result: Explored) -> dict[str, Any]:
    """Everything, as JSON has it. Times in seconds."""
    found = result.found
    stories = {each.property.name: told for each, told in result.stories}
    return {
        "verdict": found.verdict.value,
        "complete": found.complete,
        "stopped_by": found.stopped_by or None,
        "states": found.states,
        "generated": found.generated,
        "depth": found.depth,
        "seconds": round(found.seconds, 3),
        "bounds": asdict(result.bounds),
        "properties": [_property(each, stories.get(each.property.name)) for each in found.judged],
    }


def _property(each: Judged[int], told: story.Story | None) -> dict[str, Any]:
    described = {
        "name": each.property.name,
        "kind": each.property.kind.value,
        "meaning": each.property.meaning,
        "verdict": each.verdict.value,
        "text": each.text,
    }
    if told is None:
        return described
    return {
        **described,
        "steps": [story.sentence(scene) for scene in told.scenes],
        "ending": list(told.ending),
        "repeats_from": None if told.loop_from is None else told.loop_from + 1,
        "mermaid": story.mermaid(told),
    }


def page(result: Explored, command: str) -> str:
    """The whole report, one file that needs nothing else."""
    environment = Environment(
        loader=PackageLoader("scenarios.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("exploration.html.j2").render(**_content(result, command))


def save(result: Explored, folder: Path, command: str) -> Path:
    """Write `report.html`, `exploration.json` and each counterexample as SVG and Mermaid; returns the report's path."""
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "report.html"
    report.write_text(page(result, command), encoding="utf-8")
    (folder / "exploration.json").write_text(json.dumps(document(result), indent=2) + "\n", encoding="utf-8")
    for each, told in result.stories:
        name = f"counterexample-{each.property.name}"
        (folder / f"{name}.svg").write_text(diagram.svg(told, each.text), encoding="utf-8")
        (folder / f"{name}.mmd").write_text(story.mermaid(told), encoding="utf-8")
    return report


def bounds_text(bounds: Bounds) -> str:
    """The bounds in one line."""
    protocol = f"{bounds.protocol}, " if bounds.is_article else ""
    rare = [(bounds.delays, "delay"), (bounds.exhaustions, "exhaustion"), (bounds.operators, "heuristic order")]
    counted = [
        (bounds.participants, "participant"),
        (bounds.replicas, "gateway replica"),
        (bounds.crashes, "crash" if bounds.crash_of == ANYBODY else f"{bounds.crash_of.removesuffix('s')} crash"),
        (bounds.losses, "loss"),
        (bounds.duplicates, "duplicate"),
        (bounds.pauses, "pause"),
        *((count, name) for count, name in rare if count is not None and (count or name == "delay")),
    ]
    return protocol + ", ".join(f"{count} {name}{_plural(name) if count != 1 else ''}" for count, name in counted)


def _plural(name: str) -> str:
    return "es" if name.endswith(("sh", "ss")) else "s"


def _content(result: Explored, command: str) -> dict[str, Any]:
    found, verdict = result.found, result.found.verdict
    stopped = f" It was stopped: {STOPPED[found.stopped_by]}." if found.stopped_by else ""
    return {
        "verdict": verdict.value,
        "tone": TONES[verdict],
        "mark": MARKS[verdict],
        "headline": HEADLINES[verdict],
        "meaning": f"{bounds_text(result.bounds)}; every order of deliveries, timers and votes.{stopped}",
        "bounds_text": bounds_text(result.bounds),
        "held": sum(each.verdict is Verdict.HOLDS for each in found.judged),
        "properties": [
            {**_property(each, None), "tone": TONES[each.verdict], "mark": MARKS[each.verdict]} for each in found.judged
        ],
        "figures": [
            ("Distinct states", f"{found.states:,}"),
            ("States generated", f"{found.generated:,}"),
            ("Depth", f"{found.depth} steps"),
            ("Time", f"{found.seconds:.1f} s"),
        ],
        "stories": [_story(each, told) for each, told in result.stories],
        "bounds": list(asdict(result.bounds).items()),
        "command": command,
    }


def _story(each: Judged[int], told: story.Story) -> dict[str, Any]:
    return {
        "name": each.property.name,
        "text": each.text,
        "svg": diagram.svg(told, f"{each.property.name}: {each.text}"),
        "sentences": [(story.sentence(scene), scene.is_fault) for scene in told.scenes],
        "ending": list(told.ending),
        "mermaid": story.mermaid(told),
    }
