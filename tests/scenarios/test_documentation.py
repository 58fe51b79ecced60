"""The README and the guide are true: every example validates, every fault, metric and expectation is in the guide."""

import re
from pathlib import Path

import pytest

from scenarios.faults import FAULTS
from scenarios.spec import load_scenario
from scenarios.thresholds import METRICS, NAMED_EXPECTATIONS

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "scenarios.md").read_text()
EXAMPLES = [
    (path.name, text)
    for path in (ROOT / "README.md", ROOT / "docs" / "scenarios.md")
    for text in re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL)
]


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_every_example_is_a_good_scenario(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.yaml"
    file.write_text(text)
    assert load_scenario(str(file)).question


def test_both_documents_have_examples() -> None:
    assert {name for name, _ in EXAMPLES} == {"README.md", "scenarios.md"}


@pytest.mark.parametrize("word", [*FAULTS, *NAMED_EXPECTATIONS, *(metric.form for metric in METRICS)])
def test_the_guide_names_it(word: str) -> None:
    assert f"`{word}`" in GUIDE


def test_no_document_waits_to_be_filled_in() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        assert "@@" not in document.read_text(), document.name


def test_links_in_the_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
