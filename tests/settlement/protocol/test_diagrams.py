"""docs/protocol.md draws the transition tables as they are; with PAYLAB_WRITE_DOCS=1 this draws them anew."""

import os
import re
from pathlib import Path

import pytest

from settlement.protocol import article, article_participant, coordinator, participant
from settlement.protocol.diagrams import state_diagram

DOCUMENT = Path(__file__).parents[3] / "docs" / "protocol.md"
TABLES = {
    "coordinator": coordinator.TRANSITIONS,
    "participant": participant.TRANSITIONS,
    "article's gateway": article.TRANSITIONS,
    "article's participant": article_participant.TRANSITIONS,
}


@pytest.mark.parametrize("title", TABLES)
def test_the_document_shows_the_table_that_is_executed(title):
    drawn = state_diagram(TABLES[title])
    block = re.compile(rf"(<!-- {re.escape(title)} -->\n```mermaid\n)(.*?)(\n```)", re.DOTALL)
    text = DOCUMENT.read_text(encoding="utf-8")
    if os.environ.get("PAYLAB_WRITE_DOCS"):
        text = block.sub(lambda found: found[1] + drawn + found[3], text)
        DOCUMENT.write_text(text, encoding="utf-8")
    found = block.search(text)
    assert found is not None
    assert found[2] == drawn


def test_an_arrow_names_phases_events_and_effects():
    drawn = state_diagram(participant.TRANSITIONS)
    assert "    prepared --> committed: DecisionReceived / Confirm, Persist, CancelTimer, Reply" in drawn
    assert "[*] --> initial" in drawn
    assert not re.search(r"^    (\w+) --> \1: \w+$", drawn, re.MULTILINE), "what does nothing is not drawn"
