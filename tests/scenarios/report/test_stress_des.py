"""docs/stress-des.md is what the code says today; with PAYLAB_WRITE_DOCS=1 this writes it anew."""

import os
from pathlib import Path

from scenarios.report import stress_des

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "stress-des.md"


def test_the_page_is_what_the_code_says_today():
    written = stress_des.page(ROOT)
    if os.environ.get("PAYLAB_WRITE_DOCS"):
        DOCUMENT.write_text(written, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == written


def test_it_has_every_section_of_the_checklist():
    written = stress_des.page(ROOT)
    for section in (
        "1. Objectives",
        "2. Logic",
        "3. Data",
        "4. Experimentation",
        "5. Implementation",
        "6. Code access",
    ):
        assert f"\n## {section}\n" in written
    for item in ("1.1", "1.2", "1.3", "2.1", "2.2", "2.3", "2.4", "2.5", "3.1", "3.2", "3.3", "3.4", "4.1", "4.2",
                 "4.3", "5.1", "5.2", "5.3", "5.4"):  # fmt: skip
        assert f"**{item} " in written


def test_only_settings_that_the_model_reads_are_said_to_matter():
    read = stress_des.settings_read()
    assert "gateway.lease_ms" in read
    assert "log.level" not in read
