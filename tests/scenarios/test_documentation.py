"""The README and the guide are true: every example validates, every fault, metric and expectation is in the guide."""

import re
from pathlib import Path

import pytest

from scenarios.faults import FAULTS
from scenarios.spec import load_scenario
from scenarios.thresholds import METRICS, NAMED_EXPECTATIONS

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "scenarios.md").read_text()
PLACES = ("platform/settlement", "scenarios", "simulator")
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


ARTICLE = (ROOT / "docs" / "article-to-system.md").read_text()
ROWS = [
    line.split(" | ") for line in ARTICLE.splitlines() if line.startswith("| ") and not line.startswith("| the art")
]


def test_every_element_of_the_article_has_a_place_that_exists() -> None:
    assert len(ROWS) > 60
    assert not [row[0] for row in ROWS if not row[1].strip()]
    named = {
        word
        for row in ROWS
        for word in re.findall(r"`((?:[\w.*-]+/)*[\w*-]+\.(?:py|ya?ml|md|sh)|(?:[a-z_]+/)+)`", " ".join(row))
    }
    assert len(named) > 50
    missing = [
        word for word in named if not any(ROOT.glob(f"{top}/**/{word}") for top in PLACES) and not any(ROOT.glob(word))
    ]
    assert not missing


def test_no_document_waits_to_be_filled_in() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        assert "@@" not in document.read_text(), document.name


def test_links_in_the_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
