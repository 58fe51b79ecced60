"""The JSON Schema of a scenario file, for editors: keys, names, and the patterns of durations, rates and thresholds."""

from typing import Any

from scenarios.spec.model import Scenario
from settlement.settings import SETTINGS, Kind, Setting

JSON_TYPES = {Kind.INTEGER: "integer", Kind.NUMBER: "number", Kind.TEXT: "string", Kind.INTEGERS: "array"}


def json_schema() -> dict[str, Any]:
    """The schema, as a JSON document. What only the loader can know (times that fit together) is not in it."""
    schema = Scenario.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "paylab scenario"
    schema["$defs"]["Platform"]["properties"]["settings"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _setting(setting) for name, setting in SETTINGS.items()},
    }
    return schema


def _setting(setting: Setting) -> dict[str, Any]:
    bounds = {"minimum": setting.minimum, "maximum": setting.maximum}
    limits = {name: bound for name, bound in bounds.items() if bound is not None}
    schema: dict[str, Any] = {"type": JSON_TYPES[setting.kind], "description": setting.description}
    if setting.kind is Kind.INTEGERS:
        return {**schema, "items": {"type": "integer", **limits}}
    return {**schema, **limits, **({"enum": list(setting.choices)} if setting.choices else {})}
