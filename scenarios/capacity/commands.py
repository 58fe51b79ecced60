"""`paylab capacity`: reads what was asked, has it answered, and shows and keeps the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from pydantic import ValidationError

from scenarios.capacity.traffic import paying_share, scenario, traffic_input
from scenarios.console import FAILED, messages, output, say, stop
from scenarios.errors import LabError
from scenarios.runfolder import run_name
from scenarios.spec.crosschecks import setting_problems
from scenarios.spec.model import Load, Platform
from scenarios.spec.overrides import UnusableOverride, yaml_value
from scenarios.spec.problems import InvalidScenario, Problem, dotted, model_problems
from scenarios.spreading import spread
from scenarios.units import parse_duration_s, parse_rate_per_s, split_quantity
from simulator import calibration as calibrations
from simulator.capacity.question import BadQuestion, Effort, Objective, Prices, Question, Reliability

if TYPE_CHECKING:
    from simulator.capacity import Infeasible

METHODS: Final = {"card": 50, "wallet": 30, "balance": 20}
HOUR_S: Final = 3600.0


@dataclass(frozen=True)
class Asked:
    """The options as they were typed."""

    rate: str
    p99: str
    availability: str
    topology: str
    failures: int = 1
    mix: str = "pay=1"
    settings: tuple[str, ...] = ()
    calibration: Path | None = None
    replica_cores: float = 1.0
    replicas_max: int = 64
    price_core_hour: float = 0.04
    price_replica_hour: float = 0.01
    mtbf: str = "720h"
    mttr: str = "5min"
    payments: int = 1000
    seed: int = 1
    workers: int = -1


@dataclass
class Reader:
    """Reads options one after the other and remembers everything that is wrong with them."""

    problems: list[Problem] = field(default_factory=list)

    def read(self, option: str, read: Callable[[str], Any], text: str, default: Any = 1.0) -> Any:
        """What `read` makes of the text; `default` if it cannot, with a problem noted."""
        try:
            if not text:
                raise ValueError("is missing; see `paylab capacity --help` for examples")
            return read(text)
        except (ValueError, UnusableOverride) as error:
            self.problems.append(Problem(option, None, str(error)))
            return default

    def note(self, option: str, found: ValidationError, model: type[Any]) -> None:
        """What pydantic found."""
        for place, text in model_problems(model, found):
            rest = [str(key) for key in place[1:] if key != "[key]"]
            self.problems.append(Problem(option, None, ": ".join([*rest, text])))


def question_of(asked: Asked) -> Question:
    """The question in the planner's words. Raises InvalidScenario with every problem."""
    reader = Reader()
    objective = Objective(
        reader.read("--rate", parse_rate_per_s, asked.rate),
        reader.read("--p99", parse_duration_s, asked.p99),
        reader.read("--availability", parse_share, asked.availability, 0.5),
        asked.failures,
    )
    reliability = Reliability(
        reader.read("--mtbf", parse_duration_s, asked.mtbf) / HOUR_S,
        reader.read("--mttr", parse_duration_s, asked.mttr) / HOUR_S,
    )
    traffic = read_traffic(reader, asked.mix, asked.settings, asked.topology, asked.calibration)
    if reader.problems:
        raise InvalidScenario(reader.problems)
    try:
        return Question(
            objective=objective,
            build=partial(traffic_input, traffic=traffic),
            prices=Prices(asked.price_core_hour, asked.price_replica_hour),
            reliability=reliability,
            effort=Effort(payments=asked.payments),
            topology=asked.topology,
            replica_cores=asked.replica_cores,
            replicas_max=asked.replicas_max,
            seed=asked.seed,
            spread=partial(spread, workers=asked.workers, ordered=True),
            mix=traffic["mix"],
        )
    except BadQuestion as error:
        raise InvalidScenario([Problem("paylab capacity", None, text) for text in error.problems]) from None


def read_traffic(
    reader: Reader, mix: str, settings: tuple[str, ...], topology: str, calibration: Path | None
) -> dict[str, Any]:
    """What `scenarios.capacity.traffic` wants to know, problems noted."""
    weights = reader.read("--mix", _pairs, mix, {})
    changed = {
        name: value for text in settings for name, value in reader.read("--set", _pairs, text, {}).items()
    }  # fmt: skip
    for option, model, written in (
        ("--mix", Load, {"mix": weights, "stages": [{"rate": 1, "for": "1s"}]}),
        ("--set", Platform, {"settings": changed, "topology": topology}),
    ):
        try:
            model.model_validate(written)
        except ValidationError as error:
            reader.note(option, error, model)
    for place, text in setting_problems(changed):
        reader.problems.append(Problem("--set", None, f"{dotted(place[2:])}: {text}"))
    if weights and not reader.problems and not paying_share(weights):
        reader.problems.append(Problem("--mix", None, "nobody pays; expected a weight for pay or refund"))
    costs = reader.read("--calibration", _calibration, str(calibration), None) if calibration else calibrations.load()
    return {"mix": weights, "methods": METHODS, "topology": topology, "settings": changed, "calibration": costs}


def parse_share(text: str) -> float:
    """`99.9%` or 0.999 -> 0.999. Raises ValueError that says what was expected."""
    number, unit = split_quantity(text)
    if unit not in ("", "%"):
        raise ValueError(f"{text!r}: unknown unit {unit!r}; expected a share like 99.9%")
    return number / 100 if unit else number


def _pairs(text: str) -> dict[str, Any]:
    pairs = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise ValueError(f"{part!r} is not of the form name=value")
        pairs[name.strip()] = yaml_value(value)
    return pairs


def _calibration(path: str) -> calibrations.Calibration:
    try:
        return calibrations.load(Path(path))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no calibration: {error}") from None


def plan(asked: Asked, out: Path, confirm: bool, notebook: Path | None, as_json: bool) -> None:
    """Answer, show, keep; ends with the exit code."""
    question = question_of(asked)
    from simulator.capacity import Infeasible, solve

    if notebook is not None:
        _need_notebooks()
    with narrated("planning") as tell:
        try:
            document = solve(question, tell).to_json()
        except Infeasible as error:
            _refuse(error, as_json)
    if confirm:
        document["confirmation"] = _confirm(document, question, out)
    folder = keep(document, out)
    if as_json:
        typer.echo(json.dumps(document, indent=2, allow_nan=False))
    else:
        from scenarios.report import capacity_terminal

        capacity_terminal.show(document, output)
    if notebook is not None:
        from scenarios.capacity.notebook import write

        say(f"notebook: {write(folder / 'answer.json', notebook)}")
    say(f"report: {folder / 'report.html'}")
    refuted = document["confirmation"] and document["confirmation"].get("verdict") == "fail"
    raise typer.Exit(FAILED if refuted else 0)


def keep(document: Mapping[str, Any], out: Path) -> Path:
    """A folder with answer.json and report.html."""
    from scenarios.report import capacity as report

    folder = new_folder(out, "capacity", document["seed"])
    (folder / "answer.json").write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(report.page(document), encoding="utf-8")
    return folder


def new_folder(out: Path, name: str, seed: int) -> Path:
    """A new folder under `out`; two answers within a second get one each."""
    stem = run_name(datetime.now(UTC), name, "simulated", seed)
    folder, number = out / stem, 1
    while folder.exists():
        number += 1
        folder = out / f"{stem}-{number}"
    folder.mkdir(parents=True)
    return folder


def narrated(what: str) -> AbstractContextManager[Callable[[str], None]]:
    """Says on stderr what goes on: a line that changes on a terminal, lines elsewhere."""
    return _Status(what) if messages.is_terminal else nullcontext(lambda text: say(f"{what}: {text}"))


class _Status(AbstractContextManager[Callable[[str], None]]):
    """A spinner with a text."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._status = messages.status(f"{what} ...")

    def __enter__(self) -> Callable[[str], None]:
        self._status.start()
        return lambda text: self._status.update(f"{self._what}: {text}")

    def __exit__(self, *about: object) -> None:
        self._status.stop()


def _refuse(error: Infeasible, as_json: bool) -> None:
    if as_json:
        refusals = [vars(refusal) for refusal in error.refusals]
        typer.echo(json.dumps({"objective": vars(error.objective), "infeasible": refusals}, indent=2, allow_nan=False))
    stop(FAILED, "paylab: no number of replicas can meet this:", *(f"  {refusal.text}" for refusal in error.refusals))


def _confirm(document: Mapping[str, Any], question: Question, out: Path) -> dict[str, Any]:
    from scenarios.capacity.confirm import confirm

    asked = partial(scenario, traffic=question.build.keywords["traffic"])  # type: ignore[attr-defined]
    return confirm(document, asked, question.build(1.0, 1.0, 1).calibration, out)


def _need_notebooks() -> None:
    try:
        import jupytext
        import nbclient
    except ImportError as error:
        raise LabError(f"--notebook needs the extra `notebooks` (pip install 'paylab[notebooks]'): {error}") from None
    del jupytext, nbclient
