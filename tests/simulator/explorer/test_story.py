"""A counterexample as people get to see it: lines, a Mermaid diagram, an SVG."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from simulator.explorer import diagram, story
from simulator.explorer.engine import Verdict, explore
from simulator.explorer.parts import Bounds
from simulator.explorer.protocol import ProtocolModel
from tests.mutants.registry import mutated

CALM = Bounds(crashes=0, losses=0, duplicates=0, pauses=0)
SVG = "{http://www.w3.org/2000/svg}"


def first_story(bounds: Bounds) -> story.Story:
    model = ProtocolModel(bounds)
    found = explore(model)
    assert found.verdict is Verdict.VIOLATED
    violation = found.violations[0]
    return story.tell(model, violation.path, violation.loop)


@pytest.fixture
def client_lied_to() -> story.Story:
    with mutated("decision_before_durable"):
        return first_story(replace(CALM, crashes=1))


def test_it_reads_as_what_happened(client_lied_to: story.Story) -> None:
    lines = story.text(client_lied_to)
    assert lines[0] == "1. gateway-0: begins; durable: preparing"
    assert re.fullmatch(
        r"7\. participant-\d -> gateway-0: vote yes - tells the client: commit; crashes   \(fault\)", lines[6]
    )
    assert lines[7:] == [
        "8. gateway-1: claims what nobody drives; durable: epoch 2",
        "9. gateway-1: works on what it has claimed; tells the client: abort",
    ]


def test_a_participant_keeps_its_name_throughout(client_lied_to: story.Story) -> None:
    asked = [scene.target for scene in client_lied_to.scenes if scene.message == "prepare"]
    voted = [scene.source for scene in client_lied_to.scenes if scene.message == "vote yes"]
    assert sorted(asked) == sorted(voted) == ["participant-0", "participant-1"]


def test_mermaid_shows_everybody_and_every_message(client_lied_to: story.Story) -> None:
    drawn = story.mermaid(client_lied_to)
    assert drawn.startswith("sequenceDiagram\n")
    assert drawn.count("->>participant_") == 2
    assert "gateway_0->>client: commit" in drawn
    assert "gateway_1->>client: abort" in drawn
    assert "Note over gateway_0: CRASH" in drawn


def test_svg_has_a_lifeline_for_everybody_and_marks_the_crash(client_lied_to: story.Story) -> None:
    root = ElementTree.fromstring(diagram.svg(client_lied_to, "a <title>"))
    heads = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "head"]
    assert heads == ["client", "gateway-0", "gateway-1", "participant-0", "participant-1"]
    assert sum(path.get("class") == "cross" for path in root.iter(f"{SVG}path")) == 1
    assert [title.text for title in root.iter(f"{SVG}title")] == ["a <title>"]


def test_a_lost_message_does_not_arrive() -> None:
    with mutated("tells_once"):
        told = first_story(replace(CALM, losses=1))
    lost = next(scene for scene in told.scenes if scene.kind == "lose")
    assert lost.is_fault
    assert "-x" in story.mermaid(told)
    assert 'class="arrow lost"' in diagram.svg(told, "")


def test_a_zombie_and_its_successor_are_two_replicas() -> None:
    with mutated("no_fencing"):
        told = first_story(replace(CALM, pauses=1))
    assert {"gateway-0", "gateway-1"} <= set(told.actors)
    assert any("although its owner lives" in line and line.endswith("(fault)") for line in story.text(told))
