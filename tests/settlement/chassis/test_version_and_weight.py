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


def test_the_profile_of_the_environment_holds_unless_the_command_line_names_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parse(SERVICE).profile == "dev"
    monkeypatch.setenv("PAYLAB_PROFILE", "prod")
    assert parse(SERVICE).profile == "prod"
    assert parse([*SERVICE, "--profile", "test"]).profile == "test"
    monkeypatch.setenv("PAYLAB_PROFILE", "production")
    with pytest.raises(SystemExit) as ended:
        parse(SERVICE)
    assert ended.value.code == 2
    assert "PAYLAB_PROFILE is 'production'; expected one of dev, test, prod" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--version", "a b"], ["--version", "x" * 33], ["--weight", "-1"], ["--weight", "1001"], ["--weight", "heavy"],
     ["--profile", "production"]],
)  # fmt: skip
def test_what_the_registry_would_refuse_is_refused_at_once(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _announced(*arguments)
    assert ended.value.code == 2
