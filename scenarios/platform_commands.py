"""`paylab up` and `paylab down`: the platform alone, without a scenario."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from scenarios import keeper
from scenarios.console import output, say
from scenarios.plan import PlatformPlan
from scenarios.spec.crosschecks import replica_problems, setting_problems
from scenarios.spec.model import Platform
from scenarios.spec.overrides import UnusableOverride, yaml_value
from scenarios.spec.problems import InvalidScenario, Problem, dotted, model_problems
from scenarios.state import PlatformState, read_state
from scenarios.worlds import UnknownWorld
from scenarios.worlds.base import WorldError

WORLDS = ("processes", "compose")


def platform_plan(world: str, topology: str, replicas: Sequence[str], settings: Sequence[str]) -> PlatformPlan:
    """The platform asked for on the command line. Raises InvalidScenario with every problem, or UnknownWorld."""
    _refuse_world(world)
    problems: list[Problem] = []
    changed = _pairs("--set", "SETTING=VALUE", settings, problems)
    counts = _pairs("--replicas", "SERVICE=N", replicas, problems)
    written = {"topology": topology, "replicas": counts, "settings": changed}
    options = {"topology": "--topology", "replicas": "--replicas", "settings": "--set"}
    try:
        platform = Platform.model_validate(written)
    except ValidationError as error:
        for place, text in model_problems(Platform, error):
            rest = [str(key) for key in place[1:] if key != "[key]"]
            problems.append(Problem(options[str(place[0])], None, ": ".join([*rest, text])))
    for place, text in replica_problems(counts):
        problems.append(Problem("--replicas", None, f"{dotted(place[2:])}: {text}"))
    for place, text in setting_problems(changed):
        problems.append(Problem("--set", None, f"{dotted(place[2:])}: {text}"))
    if problems:
        raise InvalidScenario(dict.fromkeys(problems))
    return PlatformPlan(**platform.model_dump())


def up(plan: PlatformPlan, port: int, detach: bool) -> None:
    """Start the platform and keep it up until Ctrl-C, or leave a keeper behind. Raises WorldError."""
    running = read_state()
    if running is not None:
        raise WorldError(
            f"a platform is up already, at {running.registry} (process {running.pid}); `paylab down` stops it"
        )
    folder = keeper.platform_folder()
    say("starting the platform ...")
    if detach:
        show(keeper.detach(plan, port, folder))
        output.print(f"{'stop it':<18}paylab down", highlight=False)
        return
    try:
        keeper.keep(plan, port, folder, _show_and_wait, say)
    except KeyboardInterrupt:  # the way this command ends: by Ctrl-C or by `paylab down`
        say(f"the platform has stopped; its logs and databases: {folder}")


def down(world: str) -> None:
    """Stop the platform that is up, if there is one. Raises WorldError if it does not stop."""
    _refuse_world(world)
    state = read_state()
    if state is None:
        say("no platform is up")
        return
    keeper.stop(state)
    say(f"stopped the platform at {state.registry}; its logs and databases: {state.folder}")


def show(state: PlatformState) -> None:
    """The addresses, and how to put load on them."""
    rows = [("registry", state.registry), *sorted(state.replicas.items())]
    rows += [("operator", f"header Paylab-Operator-Token: {state.operator_token}")]
    rows += [("logs", f"{state.folder}/logs"), ("load it", keeper.locust_command(state.registry))]
    for name, value in rows:
        output.print(f"{name:<18}{value}", highlight=False, markup=False, soft_wrap=True)


def _show_and_wait(state: PlatformState) -> None:
    show(state)
    say("Ctrl-C stops it")


def _pairs(option: str, form: str, texts: Sequence[str], problems: list[Problem]) -> dict[str, Any]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            if not equals or not name:
                raise UnusableOverride(f"{text!r} is not of the form {form}")
            pairs[name] = yaml_value(value)
        except UnusableOverride as error:
            problems.append(Problem(option, None, str(error)))
    return pairs


def _refuse_world(world: str) -> None:
    if world not in WORLDS:
        raise UnknownWorld(f"no platform can be started in the world {world!r}; expected {' or '.join(WORLDS)}")
