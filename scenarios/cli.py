"""The command line, `paylab`. Thin: it reads arguments, calls the packages, prints, and chooses the exit code."""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from scenarios import (
    calibrate_cli,
    capacity_cli,
    compile_cli,
    compiling,
    config_cli,
    doubt_cli,
    explore_cli,
    fuzz_cli,
    matrix_cli,
    mutants_cli,
    sweep_cli,
    twin_cli,
)
from scenarios.interrupts import raise_on_signals
from settlement.topology import DEFAULT_TOPOLOGY

SEED_MAX = 2**31 - 1
DEFAULT_PORT = 8761
PLAYS_NOTHING = ("compile", "down", "recover")
"""What is done even when the model that is on PYTHONPATH is out of date."""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich", add_completion=False)

app.add_typer(capacity_cli.app, name="capacity")
app.add_typer(config_cli.app, name="config")
app.add_typer(doubt_cli.app, name="doubt")
app.command()(calibrate_cli.calibrate)
app.command("compile")(compile_cli.compile_model)
app.command()(explore_cli.explore)
app.command()(matrix_cli.matrix)
app.command()(mutants_cli.mutants)
app.command()(twin_cli.twin)

ScenarioArgument = Annotated[str, typer.Argument(metavar="SCENARIO", help="A name from `paylab list`, or a YAML file.")]
SetOption = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change the scenario; repeat for several changes.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the verdict alone on stdout; progress goes to stderr.")]


@app.callback()
def about(context: typer.Context) -> None:
    """A laboratory for payment platforms: load one, break it, and see whether every payment is still right.

    \b
    First steps:
      paylab list                        the scenarios that ship
      paylab run baseline                nothing breaks: the run to compare with
      paylab run coordinator-crash       the gateway dies at the worst moment
      paylab explore                     the commit protocol alone, in every order and with every fault
      paylab capacity --help             how many replicas of what a load needs
      paylab up                          the platform alone, to explore by hand

    \b
    Exit codes:
      0    pass
      1    fail: an expectation was not met
      2    bad input: every problem is listed on stderr
      3    no verdict: the run was invalid, or could not be made
      130  interrupted, after cleaning up
    """
    if context.invoked_subcommand not in PLAYS_NOTHING and (problem := compiling.outdated()):
        from scenarios.console import NO_VERDICT, stop

        stop(NO_VERDICT, f"paylab: {problem}")


@app.command()
def run(
    scenario: ScenarioArgument,
    world: Annotated[
        list[str],
        typer.Option("--world", metavar="WORLD", help="processes, simulated or compose; repeat to compare."),
    ] = ["processes"],  # noqa: B006 - typer reads it, nobody writes it
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Same scenario and seed: same arrivals.")] = 1,
    overrides: SetOption = [],  # noqa: B006 - as above
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the run's folder is made.")] = Path("runs"),
    attach: Annotated[
        str | None,
        typer.Option("--attach", metavar="PROJECT", help="World compose: the project to play on."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", metavar="FILE", help="World simulated: what things cost; see paylab calibrate."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Play a scenario, judge what happened, and write a report.

    The run's folder keeps everything: the plan, what the clients saw,
    the services' databases and logs, the verdict and `report.html`.
    With several worlds, one more report puts them side by side.

    \b
    Examples:
      paylab run baseline
      paylab run coordinator-crash --world processes --world simulated
      paylab run coordinator-crash --world simulated --seed 7
      paylab run baseline --world simulated --calibration mine.json
      paylab run database-outage --world compose
      paylab run baseline --set load.stages.1.rate=40
      paylab run baseline --set platform.replicas.gateway=2
      paylab run baseline --set platform.settings.payment.channel_timeout_ms=500
      paylab run my-scenario.yaml --json > verdict.json
    """
    from scenarios.console import messages, reported_errors
    from scenarios.progress import progress_for

    with reported_errors():
        from scenarios import runner
        from scenarios.spec import load_scenario

        loaded = load_scenario(scenario, overrides)
        worlds = _worlds(world, attach, calibration)
        results = runner.run(loaded, seed, worlds, out, lambda plan, each: progress_for(plan, each, messages))
        _show_results(results, as_json)


@app.command("list")
def list_scenarios() -> None:
    """The scenarios that ship: what each asks, which faults it makes, how long it runs."""
    from scenarios.console import output, reported_errors, scenario_table
    from scenarios.spec import catalogue_names, load_scenario

    with reported_errors():
        output.print(scenario_table([load_scenario(name) for name in catalogue_names()]))


@app.command()
def validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Scenario files, or names from the catalogue.")],
    overrides: SetOption = [],  # noqa: B006 - as above
) -> None:
    """Check scenarios without running them; every problem is listed with its line.

    \b
    Examples:
      paylab validate my-scenario.yaml
      paylab validate baseline --set load.stages.0.rate=200
    """
    from scenarios.console import BAD_INPUT, fault_summary, output, reported_errors, stop
    from scenarios.plan import plan
    from scenarios.spec import InvalidScenario, load_scenario
    from scenarios.units import format_duration

    problems = []
    for file in files:
        with reported_errors():
            try:
                good = load_scenario(file, overrides)
            except InvalidScenario as error:
                problems += error.problems
                continue
            faults = fault_summary(good).replace("\n", ", ")
            length = format_duration(good.duration_s)
            arrivals = f"{len(plan(good, 1).arrivals)} arrivals" if good.load.kind == "open" else "closed load"
            output.print(f"{file}: good: {length}, {arrivals}, faults: {faults}", highlight=False, soft_wrap=True)
    if problems:
        stop(BAD_INPUT, *problems)


@app.command()
def schema() -> None:
    """The JSON Schema of scenario files, for editors.

    \b
    Example, for the YAML extension of your editor:
      paylab schema > scenario.schema.json
      and as first line of a scenario:
      # yaml-language-server: $schema=scenario.schema.json
    """
    from scenarios.spec import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
def up(
    world: Annotated[str, typer.Option(help="The world to start the platform in.")] = "processes",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The registry's port; 0 takes any.")] = DEFAULT_PORT,
    replicas: Annotated[
        list[str], typer.Option("--replicas", metavar="SERVICE=N", help="Processes of a service; repeat for several.")
    ] = [],  # noqa: B006 - as above
    settings: Annotated[
        list[str], typer.Option("--set", metavar="SETTING=VALUE", help="Change a setting; repeat for several.")
    ] = [],  # noqa: B006 - as above
    topology: Annotated[
        str, typer.Option(help="compact: the back office in one process; split; or merged as the article has it.")
    ] = DEFAULT_TOPOLOGY,
    detach: Annotated[bool, typer.Option("--detach", help="Return once it is ready; `paylab down` stops it.")] = False,
) -> None:
    """Start the platform alone, print where it listens, and keep it up until Ctrl-C.

    In the world compose it is containers, which stay until `paylab down`: always as with --detach.

    \b
    Examples:
      paylab up
      paylab up --replicas gateway=2 --set payment.channel_timeout_ms=500
      paylab up --detach
      paylab down
      paylab up --world compose
      paylab down --world compose
    """
    from scenarios import compose_commands, platform_commands
    from scenarios.console import reported_errors

    with reported_errors():
        plan = platform_commands.platform_plan(world, topology, replicas, settings)
        if world == "compose":
            compose_commands.up(plan, port)
        else:
            platform_commands.up(plan, port, detach)


@app.command()
def down(
    world: Annotated[str, typer.Option(help="The world that the platform is in.")] = "processes",
    volumes: Annotated[bool, typer.Option("--volumes", help="compose: delete its databases and secrets too.")] = False,
) -> None:
    """Stop the platform that `paylab up` started."""
    from scenarios import compose_commands, platform_commands
    from scenarios.console import reported_errors

    with reported_errors():
        if world == "compose":
            compose_commands.down(volumes)
        else:
            platform_commands.down(world)


@app.command()
def audit(run: RunArgument, as_json: JsonOption = False) -> None:
    """Judge a finished run again: read its databases afresh, check, and rewrite verdict and report."""
    from scenarios.console import reported_errors

    with reported_errors():
        from scenarios import judging
        from scenarios.runfolder import existing
        from scenarios.runner import RunResult

        verdict = judging.audit(run)
        _show_results([RunResult(verdict.world, existing(run), verdict)], as_json)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; several are put side by side.")],
) -> None:
    """Write the report of a run again, or one report of several runs side by side.

    \b
    Examples:
      paylab report runs/20260131-120000-baseline-processes-1
      paylab report runs/*-coordinator-crash-*
    """
    from scenarios.console import reported_errors, say

    with reported_errors():
        from scenarios import judging

        say(f"report: {judging.rewrite_report(runs)}")


@app.command()
def recover(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="The killed run: shows what it did not undo."),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option("--project", metavar="NAME", help="Heal this compose project, even without the run's folder."),
    ] = None,
) -> None:
    """Put right what a lab that was killed left behind.

    Containers of its own runs are removed. A project that a run was attached
    to becomes what it was before, which only the run's folder knows.

    \b
    Examples:
      paylab recover
      paylab recover runs/20260131-120000-redis-outage-compose-1
      paylab recover --project paylab
    """
    from scenarios.console import reported_errors, say

    with reported_errors():
        from scenarios import recovery

        for line in recovery.recover(run, project):
            say(line)
        say("done")


def _worlds(names: Sequence[str], attach: str | None = None, calibration: Path | None = None) -> list[Any]:
    from scenarios.calibration_file import calibration_of
    from scenarios.worlds import UnknownWorld, world_named

    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UnknownWorld(f"--world {', '.join(repeated)} is given twice; expected each world once")
    if attach is not None and "compose" not in names:
        raise UnknownWorld("--attach is for the world compose; add --world compose")
    if calibration is not None and "simulated" not in names:
        raise UnknownWorld("--calibration is for the world simulated; add --world simulated")
    worlds = [world_named(name) for name in names]
    changes: dict[str, dict[str, Any]] = {
        "compose": {} if attach is None else {"attach_to": attach},
        "simulated": {} if calibration is None else {"calibration": calibration_of(calibration)},
    }
    return [replace(world, **changes.get(world.name, {})) if changes.get(world.name) else world for world in worlds]  # type: ignore[type-var]


def _show_results(results: Sequence[Any], as_json: bool) -> None:
    """Print what came of every world, and end with the exit code."""
    from scenarios.console import exit_code, result_document, say, summarize
    from scenarios.judging import rewrite_report

    if as_json:
        documents = [result_document(result) for result in results]
        typer.echo(json.dumps(documents if len(documents) > 1 else documents[0], indent=2, allow_nan=False))
    else:
        summarize([result.verdict for result in results if result.verdict is not None])
    for result in results:
        if result.error is not None:
            say(f"paylab: {result.world}: {result.error}")
            say(f"run: {result.folder.path}")
        else:
            say(f"report: {result.folder.report}")
    judged = [result.folder.path for result in results if result.verdict is not None]
    if len(judged) > 1:
        say(f"side by side: {rewrite_report(judged)}")
    raise typer.Exit(exit_code(results))


app.command("fuzz")(fuzz_cli.fuzz)
app.command("sweep")(sweep_cli.sweep)


def main() -> None:
    """The entry point of the command `paylab`."""
    raise_on_signals()
    try:
        app(prog_name="paylab")
    except BrokenPipeError:
        # The reader of our output went away (`paylab list | head`): no message, and no second error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception:  # noqa: BLE001 - a bug of the lab; Python's own exit code 1 would say that the platform failed
        traceback.print_exc()
        sys.exit(3)


if __name__ == "__main__":
    main()
