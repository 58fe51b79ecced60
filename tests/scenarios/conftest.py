"""Scenario files for tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

GOOD = """\
name: small
question: Does it work?
load:
  mix: {browse: 1}
  stages: [{rate: 20, for: 5s}]
phases: {recovery: 5s}
faults:
  - {at: 2s, kind: kill, service: gateway, restart_after: 1s}
expect: [latency.browse.p99 < 1s]
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a scenario file: GOOD, with pieces of text replaced."""

    def written(*replaced: tuple[str, str], text: str = GOOD) -> Path:
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "small.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written
