"""The published JSON Schema: takes what the loader takes, and flags what an editor can know."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from scenarios.spec import catalogue_names, catalogue_path, json_schema

Write = Callable[..., Path]


def errors(path: Path) -> list[str]:
    data: Any = YAML(typ="safe", pure=True).load(path)
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(data)]


@pytest.mark.parametrize("name", catalogue_names())
def test_the_catalogue_fits_the_schema(name: str) -> None:
    assert errors(catalogue_path(name)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: small", "nmae: small"),
        ("at: 2s", "at: 2"),
        ("at: 2s", "at: 2 parsecs"),
        ("rate: 20", "rate: -1"),
        ("rate: 20", "rate: 20/week"),
        ("kind: kill", "kind: explode"),
        ("service: gateway", "service: gatway"),
        ("{browse: 1}", "{browse: -1}"),
        ("browse.p99 < 1s", "browse.p98 < 1s"),
        ("browse.p99 < 1s", "browse.p99 = 1s"),
        ("[latency.browse.p99 < 1s]", "[atomc]"),
        ("recovery: 5s", "recovery: 5s, x: 1"),
        ("faults:", "platform: {settings: {http.timeout_ms: fast}}\nfaults:"),
        ("faults:", "platform: {settings: {http.foo: 1}}\nfaults:"),
        ("faults:", "platform: {topology: round}\nfaults:"),
    ],
)
def test_an_editor_flags_mistakes(write: Write, old: str, new: str) -> None:
    assert errors(write()) == []
    assert errors(write((old, new)))
