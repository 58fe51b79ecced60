"""`paylab twin`: how far the simulated world is from the real one."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scenarios.units import format_duration

if TYPE_CHECKING:
    from rich.table import Table

    from scenarios.twin.playing import Twin
    from scenarios.twin.scorecard import Row
    from scenarios.worlds.base import World

SEED_MAX = 2**31 - 1
WORLDS = ("processes", "compose", "simulated")
STYLES = {"met": "green", "missed": "bold red", "unknown": "yellow", "disturbed": "yellow", "shown": "dim"}


def twin(
    world: Annotated[str, typer.Option(metavar="WORLD", help=f"The real one: {', '.join(WORLDS)}.")] = "processes",
    names: Annotated[
        list[str], typer.Option("--scenario", metavar="NAME", help="A held-out scenario; repeat; not given: all.")
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How often each is played in both worlds.")] = 3,
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="The first seed.")] = 1,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration", metavar="FILE", help="Default: calibration/<machine>.json, else the shipped one."
        ),
    ] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change the scenarios; repeat for several changes.")
    ] = [],  # noqa: B006 - as above
    again: Annotated[
        Path | None,
        typer.Option("--again", metavar="DIR", help="Take the real runs from an earlier twin's folder, predict anew."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the folder is made.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print twin.json on stdout; progress on stderr.")] = False,
) -> None:
    """Compare the simulated world with the real one, on scenarios that calibration has not seen.

    Other mixes, rates, replicas, channel times, and faults; each is played in
    both worlds with the same arrivals. Prints measured, predicted and the error
    with 95 % intervals over the seeds. Targets, below 80 % utilisation:
    throughput 3 %, mean 5 %, p99 10 %, availability 1 point. A missed target is
    said, and exit code 1. Nothing is tuned for a scenario. Have nothing else
    running: what other programs disturbed gets no verdict (exit code 3).

    \b
    Examples:
      paylab calibrate && paylab twin
      paylab twin --scenario other-rate --scenario gateway-crash --seeds 5
      paylab twin --calibration mine.json --json > twin.json
      paylab twin --again runs/20260131-120000-twin-processes-1 --calibration mine.json
    """
    from scenarios.console import FAILED, NO_VERDICT, messages, output, reported_errors, say

    with reported_errors():
        real = _real(world, again)
        found, folder = _played(real, names, range(seed, seed + seeds), calibration, overrides, out)
        if as_json:
            typer.echo(json.dumps(found.to_json(), indent=2, allow_nan=False))
        else:
            output.print(table(found.rows))
        messages.print(f"verdict: [bold]{found.verdict}[/]")
        say(f"report: {folder / 'report.html'}")
        raise typer.Exit({"pass": 0, "fail": FAILED}.get(found.verdict, NO_VERDICT))


def _real(name: str, again: Path | None) -> "World":
    from scenarios.twin.stored import StoredWorld
    from scenarios.worlds import UnknownWorld, world_named

    if name not in WORLDS:
        raise UnknownWorld(f"unknown world {name!r}; expected one of {', '.join(WORLDS)}")
    return StoredWorld(again, name) if again else world_named(name)


def _played(
    world: "World", names: list[str], seeds: range, file: Path | None, overrides: list[str], out: Path
) -> "tuple[Twin, Path]":
    from scenarios.calibration_file import calibration_of, machine_file
    from scenarios.console import messages, say
    from scenarios.progress import progress_for
    from scenarios.report import twin as report
    from scenarios.runfolder import new_folder, run_name
    from scenarios.twin import playing
    from scenarios.worlds.simulated import SimulatedWorld

    chosen = file or machine_file()
    model = SimulatedWorld(calibration_of(chosen) if chosen else None)
    wanted = playing.held_out(names, overrides, world.name)
    length = format_duration(sum(each.duration_s for each in wanted) * len(seeds))
    say(f"{len(wanted)} scenarios, {len(seeds)} times each: {length}, and the starts of the platform")
    say(f"calibration: {chosen or 'as shipped'}")
    out.mkdir(parents=True, exist_ok=True)
    folder = new_folder(out, run_name(datetime.now(UTC), "twin", world.name, seeds.start))

    def tell(rows: "list[Row]") -> None:
        not_met = [row for row in rows if row.verdict not in ("met", "shown")]
        words = ", ".join(f"{row.metric.name} {row.verdict}" for row in not_met)
        say(f"{rows[0].scenario}: {words or 'every target met'}")

    found = playing.play(
        world, model, wanted, seeds, folder, lambda plan, each: progress_for(plan, each, messages), tell,
        str(chosen or "as shipped"),
    )  # fmt: skip
    playing.keep(found, folder)
    (folder / "report.html").write_text(report.page(found), encoding="utf-8")
    return found, folder


def table(rows: "list[Row]") -> "Table":
    """A row a metric of each scenario."""
    from rich.table import Table

    from scenarios.report.twin import line

    shown = Table(title="the twin: simulated against real", title_justify="left", box=None, pad_edge=False)
    shown.add_column("scenario, metric", no_wrap=True)
    for name in ("measured", "predicted", "error", "target"):
        shown.add_column(name, justify="right")
    shown.add_column("")
    before = ""
    for row in rows:
        if row.scenario != before:
            shown.add_row(f"[bold]{row.scenario}[/]", *[""] * 5)
            before = row.scenario
        said: Any = line(row)
        name = f"  {said.metric}"
        shown.add_row(name, said.real, said.model, said.error, said.target, said.verdict, style=STYLES[said.verdict])
    return shown
