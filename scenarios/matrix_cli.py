"""`paylab matrix`: every step of the protocol, every role, every way to come back."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenarios.units import format_duration

if TYPE_CHECKING:
    from rich.table import Table

    from scenarios.matrix.judging import CellResult
    from scenarios.matrix.passes import Pass
    from scenarios.matrix.playing import Matrix

SEED_MAX = 2**31 - 1
PROBLEMS_SHOWN = 3
WORLDS = ("simulated", "processes", "compose")


def matrix(
    world: Annotated[str, typer.Option(metavar="WORLD", help=f"One of {', '.join(WORLDS)}.")] = "simulated",
    service: Annotated[str, typer.Option(metavar="PATTERN", help="Who dies: gateway, order, payment.")] = "*",
    point: Annotated[str, typer.Option(metavar="PATTERN", help="Where, like 'coordinator.decided.*'.")] = "*",
    returns: Annotated[str, typer.Option(metavar="PATTERN", help="How it comes back: quick, late, never.")] = "*",
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Same seed: same arrivals.")] = 1,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the matrix' folder is made.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print matrix.json on stdout; progress on stderr.")] = False,
) -> None:
    """Kill every role at every step of the protocol, and see whether every payment stays whole.

    A cell is a step (`paylab schema` lists them), a service that dies there,
    and a way to come back: quick (at once), late (after its lease), never
    (another replica takes over). Each says pass or fail, how long participants
    were in doubt, and how long the platform took to finish what was under way.
    A cell that no payment came by has shown nothing: it is played again, up
    to three times, and then it counts as a failure.

    Cells share platforms: about 15 runs cover them all. Simulated that takes
    seconds; with real processes it takes most of an hour, so choose.

    \b
    Examples:
      paylab matrix
      paylab matrix --world processes --service gateway --returns never
      paylab matrix --world processes --point 'coordinator.decided.*'
      paylab matrix --json > matrix.json
    """
    from scenarios.console import BAD_INPUT, FAILED, messages, output, reported_errors, say, stop
    from scenarios.matrix.cells import NoSuchCells
    from scenarios.matrix.judging import CellOutcome

    with reported_errors():
        try:
            played, folder = _played(world, (service, point, returns), seed, out)
        except NoSuchCells as error:
            stop(BAD_INPUT, f"paylab: {error}")
        if as_json:
            typer.echo(json.dumps(played.to_json(), indent=2, allow_nan=False))
        else:
            output.print(summary_table(played))
        for result in played.results:
            if result.outcome is not CellOutcome.PASS:
                cell, why = result.cell, "; ".join(result.problems[:PROBLEMS_SHOWN])
                say(f"{result.outcome}: {cell.service} {cell.point} {cell.comes_back}: {why}")
        messages.print(f"verdict: [bold]{played.verdict}[/]")
        say(f"report: {folder / 'report.html'}")
        raise typer.Exit(0 if played.verdict is CellOutcome.PASS else FAILED)


def _played(world: str, patterns: tuple[str, str, str], seed: int, out: Path) -> "tuple[Matrix, Path]":
    from scenarios.console import messages, say
    from scenarios.matrix import playing
    from scenarios.matrix.cells import Cell, cells
    from scenarios.matrix.judging import CellOutcome
    from scenarios.matrix.passes import pace_of, passes
    from scenarios.progress import progress_for
    from scenarios.report import matrix as report
    from scenarios.runfolder import run_name

    wanted = passes(cells(*patterns), pace_of(world))
    total = sum(len(each.windows) for each in wanted)
    ended: set[Cell] = set()
    folder = out / run_name(datetime.now(UTC), "matrix", world, seed)
    length = format_duration(sum(each.scenario.duration_s for each in wanted))
    say(f"{total} cells in {len(wanted)} runs, together {length}{' of virtual time' if world == 'simulated' else ''}")

    def tell(each: "Pass", found: "list[CellResult]") -> None:
        ended.update(result.cell for result in found if result.outcome is not CellOutcome.UNREACHED)
        say(f"{len(ended):4d} of {total} cells: {each.name}: {summary(found)}")

    played = playing.play(world, wanted, seed, folder, lambda plan, each: progress_for(plan, each, messages), tell)
    playing.keep(played, folder)
    (folder / "report.html").write_text(report.page(played), encoding="utf-8")
    return played, folder


def summary(found: "Sequence[CellResult]") -> str:
    """`28 pass` or `26 pass, 2 unreached`, and the longest times."""
    counts = Counter(result.outcome.value for result in found)
    words = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    doubt = _longest([result.in_doubt_s for result in found])
    return words + (f"; at most {doubt} in doubt" if doubt else "")


def summary_table(matrix: "Matrix") -> "Table":
    """A row a service and return; times are the longest of its cells."""
    from rich.table import Table

    from scenarios.matrix.judging import CellOutcome

    table = Table(title=f"crash-point matrix, {matrix.world}", title_justify="left", box=None, pad_edge=False)
    for name in ("dies", "returns"):
        table.add_column(name)
    for name in ("cells", *(outcome.value for outcome in CellOutcome), "in doubt", "recovery"):
        table.add_column(name, justify="right")
    for group in _groups(matrix.results):
        counts = [sum(result.outcome is outcome for result in group) for outcome in CellOutcome]
        times = [_longest([each.in_doubt_s for each in group]), _longest([each.recovery_s for each in group])]
        cell = group[0].cell
        table.add_row(cell.service, cell.comes_back, *map(str, (len(group), *counts)), *times)
    return table


def _groups(results: "Sequence[CellResult]") -> "list[list[CellResult]]":
    """The cells of one service and one return together."""
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for result in results:
        groups.setdefault((result.cell.service, result.cell.comes_back), []).append(result)
    return list(groups.values())


def _longest(times_s: list[float]) -> str:
    known = [value for value in times_s if math.isfinite(value)]
    return f"{max(known):.1f} s" if known else ""
