"""`paylab calibrate`: what everything costs on this machine."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from scenarios.calibrate.experiments import Pace

SEED_MAX = 2**31 - 1
WORLDS = ("processes", "compose", "simulated")
# What a run takes besides its plan: starting and stopping the platform, opening accounts.
AROUND_A_RUN_S = {"processes": 20.0, "compose": 90.0, "simulated": 0.0}


def calibrate(
    world: Annotated[str, typer.Option(metavar="WORLD", help=f"One of {', '.join(WORLDS)}.")] = "processes",
    quick: Annotated[bool, typer.Option("--quick", help="A third of the time, wider intervals.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Names the journeys; nothing here is drawn.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: calibration/<machine>.json.")
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where the runs are kept.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the document on stdout; progress on stderr.")] = False,
) -> None:
    """Measure what everything costs on this machine, for the simulated world.

    Plays every client operation alone and the mix at several rates, reads the CPU
    accounts of all processes and one traced run, and fits: CPU and waiting of
    every route, of calls, commits, events and client requests; the call graph;
    starting times. Figures that these runs cannot tell apart are listed.
    Have nothing else running meanwhile.

    The world simulated is calibrated as a self-test: it has to return the
    figures that it was given.

    \b
    Examples:
      paylab calibrate
      paylab calibrate --quick --out mine.json
      paylab calibrate --world compose
      paylab run saturation --world simulated --calibration mine.json
    """
    from scenarios.console import output, reported_errors, say

    with reported_errors():
        from scenarios.calibrate import calibrating, experiments, machine
        from scenarios.calibration_file import FOLDER

        pace = experiments.QUICK if quick else experiments.Pace()
        path = out or FOLDER / f"{machine.machine_id()}.json"
        calibrated = _calibrated(world, pace, seed, runs)
        calibrating.keep(calibrated, path)
        if as_json:
            typer.echo(path.read_text(encoding="utf-8"), nl=False)
        else:
            output.print(endpoint_table(calibrated.document))
            output.print(other_table(calibrated.document))
        for sentence in calibrated.document["unidentified"]:
            say(f"not identified: {sentence}")
        say(f"calibration: {path}")


def _calibrated(world: str, pace: "Pace", seed: int, runs: Path) -> Any:
    from scenarios.calibrate import calibrating, experiments
    from scenarios.console import messages, say
    from scenarios.progress import progress_for
    from scenarios.runfolder import run_name
    from scenarios.units import format_duration
    from scenarios.worlds import UnknownWorld, world_named

    if world not in WORLDS:
        raise UnknownWorld(f"unknown world {world!r}; expected one of {', '.join(WORLDS)}")
    plans = [experiments.measured(pace, seed).plan, experiments.traced(pace, seed).plan]
    left = [plan.duration_s + AROUND_A_RUN_S[world] for plan in plans[: 1 if world == "simulated" else 2]]
    number = 0

    def progress(plan: Any, each: Any) -> Any:
        nonlocal number
        number += 1
        about = format_duration(float(round(sum(left[number - 1 :]))))
        say(f"run {number} of {len(left)}: {plan.scenario}; about {about} left in all")
        return progress_for(plan, each, messages)

    folder = runs / run_name(datetime.now(UTC), "calibration", world, seed)
    return calibrating.calibrate(world_named(world), pace, seed, folder, progress)


def endpoint_table(document: dict[str, Any]) -> "Table":
    """A row a route."""
    from rich.table import Table

    from scenarios.calibrate.document import ASSUMED

    title = f"{document['world']} on {document['machine']['id']}: one visit, without its calls and commits"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("service", "route"):
        table.add_column(name, overflow="fold")
    for name in ("CPU ms", "interval", "variation", "wait ms"):
        table.add_column(name, justify="right")
    table.add_column("by")
    for service, routes in document["endpoints"].items():
        for route, figures in routes.items():
            if figures["by"] != ASSUMED:
                low_ms, high_ms = figures["interval_ms"]
                numbers = (f"{figures[name]:.2f}" for name in ("variation", "wait_ms"))
                cpu = f"{figures['cpu_ms']:.2f}"
                table.add_row(service, route, cpu, f"{low_ms:.2f} - {high_ms:.2f}", *numbers, figures["by"])
    return table


def other_table(document: dict[str, Any]) -> "Table":
    """What all routes have in common, and what processes do without being asked."""
    from rich.table import Table

    table = Table(title="and", title_justify="left", box=None, pad_edge=False)
    table.add_column("what")
    for name in ("figure", "interval"):
        table.add_column(name, justify="right")
    intervals = document["intervals_ms"]
    shared = ("call_cpu", "waking", "commit_cpu", "commit_wait", "database_cpu", "client_cpu", "journey_cpu", "hop")
    for name in shared:
        table.add_row(name.replace("_", " "), f"{document[name + '_ms']:.3f} ms", _range(intervals[name], " ms"))
    for name, value in document["event_cpu_ms"].items():
        table.add_row(f"event to {name}", f"{value:.3f} ms", _range(intervals["event_cpu"][name], " ms"))
    for name, value in document["delivery_cpu_ms"].items():
        table.add_row(f"delivery to {name}", f"{value:.3f} ms", _range(intervals["delivery_cpu"][name], " ms"))
    if "elasticity" in document:
        felt = f"{100 * document['elasticity']:.0f} %"
        table.add_row("CPU follows the probe by", felt, _percent(document["elasticity_interval"]))
    for name, value in document["idle_cpu"].items():
        low, high = (each / 10 for each in intervals["idle_cpu_a_second"][name])
        table.add_row(f"{name}, idle", f"{100 * value:.1f} % of a core", f"{low:.1f} - {high:.1f} %")
    for name, value in document["startup_s"].items():
        table.add_row(f"start of {name}", f"{value:.1f} s", "")
    return table


def _percent(interval: list[float]) -> str:
    return f"{100 * interval[0]:.0f} - {100 * interval[1]:.0f} %"


def _range(interval: list[float], unit: str) -> str:
    return f"{interval[0]:.3f} - {interval[1]:.3f}{unit}"
