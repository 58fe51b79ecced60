"""What did validate of a scenario that as a whole did not.

Problems between fields (a fault after the end of the load) should be reported together with problems of fields (a typo
three lines above), so the checks between fields read this: good values only, bad ones simply absent.
"""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from scenarios.expectations import Expectation as Expected
from scenarios.faults import FAULTS
from scenarios.spec.model import Expectation, Load, Phases, Platform, Stage

Values = dict[str, Any]


@dataclass(frozen=True)
class Salvage:
    """Values by field name (`for_s`, not `for`). A list keeps its length, so that indices stay those of the file."""

    load: Values
    stages: list[Values]
    phases: Values
    platform: Values
    faults: list[Values]  # with the validated `kind`, and `end_s` if it can be told
    written_faults: list[Values]  # the same as the file has them
    expect: list[Expected | None]


def salvage(data: Values) -> Salvage:
    """Everything good in `data`."""
    load, faults = _mapping(data.get("load")), _items(data.get("faults"))
    return Salvage(
        load=_good(Load, load, leave_out=("stages",)),
        stages=[_good(Stage, _mapping(stage)) for stage in _items(load.get("stages"))],
        phases=_good(Phases, _mapping(data.get("phases"))),
        platform=_good(Platform, _mapping(data.get("platform"))),
        faults=[_good_fault(_mapping(fault)) for fault in faults],
        written_faults=[_mapping(fault) for fault in faults],
        expect=[_good_expectation(expectation) for expectation in _items(data.get("expect"))],
    )


def _mapping(value: object) -> Values:
    return {key: item for key, item in value.items() if isinstance(key, str)} if isinstance(value, dict) else {}


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _good(model: type[BaseModel], written: Values, leave_out: tuple[str, ...] = ()) -> Values:
    good: Values = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        if name in leave_out:
            continue
        if key not in written and not field.is_required():
            good[name] = field.get_default(call_default_factory=False)
        elif key in written:
            try:
                good[name] = _adapter(model, name).validate_python(written[key])
            except ValidationError:
                continue  # reported where the whole scenario is validated
    return good


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    annotation: Any = field.annotation
    for extra in field.metadata:
        annotation = Annotated[annotation, extra]
    return TypeAdapter(annotation, config=ConfigDict(strict=True))


def _good_fault(written: Values) -> Values:
    kind = written.get("kind")
    if not isinstance(kind, str) or kind not in FAULTS:
        return {}
    good = _good(FAULTS[kind], written)
    length_s = good.get("for_s", good.get("restart_after_s"))
    if length_s is not None and "at_s" in good:
        good["end_s"] = good["at_s"] + length_s
    return good


def _good_expectation(written: object) -> Expected | None:
    try:
        expectation: Expected = TypeAdapter(Expectation).validate_python(written)
    except ValidationError:
        return None
    return expectation
