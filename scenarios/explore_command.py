"""`paylab explore`: what it shows while it searches and when it is done, and its exit code."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress as RichProgress
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from scenarios.console import BAD_INPUT, FAILED, NO_VERDICT, PASSED, messages, output, say, stop
from scenarios.progress import PLAIN_INTERVAL_S
from scenarios.report import exploration
from simulator.explorer import engine, story
from simulator.explorer.engine import Limits, Progress, Verdict
from simulator.explorer.parts import Bounds
from simulator.explorer.protocol import ProtocolModel
from simulator.explorer.states import TooLarge

EXIT_CODES = {Verdict.HOLDS: PASSED, Verdict.VIOLATED: FAILED, Verdict.INCOMPLETE: NO_VERDICT}
STYLES = {Verdict.HOLDS: "green", Verdict.VIOLATED: "red", Verdict.INCOMPLETE: "yellow"}


def explore(bounds: Bounds, limits: Limits, out: Path | None, *, as_json: bool, keep_going: bool = False) -> None:
    """Search, print what was found, write the report if asked for; ends with the exit code."""
    problems = bounds.problems()
    if problems:
        stop(BAD_INPUT, *(f"paylab: {problem}" for problem in problems))
    model = ProtocolModel(bounds)
    say(f"exploring: {exploration.bounds_text(bounds)}")
    try:
        with _display(messages) as tell:
            found = engine.explore(model, limits, tell, keep_going)
    except TooLarge as error:
        stop(NO_VERDICT, f"paylab: these bounds are too large: {error}")
    result = exploration.explored(model, found)
    if as_json:
        typer.echo(json.dumps(exploration.document(result), indent=2))
    else:
        show(result)
    if out is not None:
        say(f"report: {exploration.save(result, out, command(bounds, keep_going=keep_going))}")
    raise typer.Exit(EXIT_CODES[found.verdict])


def command(bounds: Bounds, *, keep_going: bool = False) -> str:
    """The command line that explores within these bounds."""
    default, words = asdict(Bounds()), ["paylab explore"]
    for name, value in asdict(bounds).items():
        if value != default[name] and name not in ("symmetry", "reduced"):
            option = name.replace("_", "-")
            words.append(
                f"--{option} {value}" if not isinstance(value, bool) else f"--{'' if value else 'no-'}{option}"
            )
    return " ".join([*words, "--keep-going"] if keep_going else words)


def show(result: exploration.Explored) -> None:
    """For people, on stdout: figures, properties, and the shortest counterexamples."""
    found = result.found
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for each in found.judged:
        mark = f"[{STYLES[each.verdict]}]{exploration.MARKS[each.verdict]} {each.verdict}[/]"
        table.add_row(mark, each.property.name, each.text or each.property.meaning)
    output.print(table)
    for each, told in result.stories:
        output.print(f"\nshortest counterexample to [bold]{each.property.name}[/]: {each.text}", highlight=False)
        for line in story.text(told):
            output.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        for line in told.ending:
            output.print(line, markup=False, highlight=False, soft_wrap=True)
    stopped = f", stopped: {exploration.STOPPED[found.stopped_by]}" if found.stopped_by else ", complete"
    figures = f"{found.states:,} distinct states of {found.generated:,}, depth {found.depth}, {found.seconds:.1f} s"
    output.print(f"\n[bold {STYLES[found.verdict]}]{found.verdict}[/]: {figures}{stopped}", highlight=False)


@contextmanager
def _display(console: Console) -> Iterator[engine.Tell]:
    """One live line on a terminal, a plain line every few seconds anywhere else."""
    if not console.is_terminal:
        yield _plain()
        return
    columns = (SpinnerColumn(), TextColumn("[bold]explore[/]"), TimeElapsedColumn(), TextColumn("{task.description}"))
    with RichProgress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("")
        yield lambda progress: bar.update(task, description=_line(progress))


def _plain() -> engine.Tell:
    told_s = 0.0

    def tell(progress: Progress) -> None:
        nonlocal told_s
        if progress.seconds - told_s >= PLAIN_INTERVAL_S:
            told_s = progress.seconds
            say(f"{progress.seconds:5.0f} s  {_line(progress)}")

    return tell


def _line(progress: Progress) -> str:
    rate = progress.states / progress.seconds if progress.seconds > 0 else 0.0
    counted = f"{progress.states:,} states ({rate:,.0f}/s)"
    return f"depth {progress.depth}, {counted}, {progress.frontier:,} of this depth left"
