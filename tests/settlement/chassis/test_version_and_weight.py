"""What a replica says of itself: command line before environment, and nothing that the registry would refuse."""

from __future__ import annotations

import pytest

from settlement.serve import parse
from settlement.topology import VERSION

SERVICE = ["--service", "configcenter", "--data", "x"]


def _announced(*arguments: str) -> tuple[str, int]:
    given = parse([*SERVICE, *arguments])
    return given.version, given.weight


def test_the_command_line_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _announced() == (VERSION, 100)
    monkeypatch.setenv("PAYLAB_VERSION", "0.2.0-rc.1")
    monkeypatch.setenv("PAYLAB_WEIGHT", "25")
    assert _announced() == ("0.2.0-rc.1", 25)
    assert _announced("--version", "0.3.0", "--weight", "0") == ("0.3.0", 0)


@pytest.mark.parametrize(
    "arguments",
    [["--version", "a b"], ["--version", "x" * 33], ["--weight", "-1"], ["--weight", "1001"], ["--weight", "heavy"],
     ["--profile", "production"]],
)  # fmt: skip
def test_what_the_registry_would_refuse_is_refused_at_once(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _announced(*arguments)
    assert ended.value.code == 2
