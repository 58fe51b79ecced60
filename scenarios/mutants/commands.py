"""What `paylab mutants` does with its arguments: list, play, show, keep, and choose the exit code."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from scenarios.console import BAD_INPUT, FAILED, PASSED, messages, output, say, stop
from scenarios.mutants.attack import Attack
from scenarios.mutants.planted import planted
from scenarios.mutants.scoreboard import SHIPPED, Row, Scoreboard, UnknownMutants, chosen, play

AS_IT_IS = "(shipped code)"


def list_mutants(only: Sequence[str]) -> None:
    """Name, bug, patched code and expected killers of each."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("mutant", style="bold", no_wrap=True)
    for heading in ("bug", "patches", "killed by"):
        table.add_column(heading)
    for name in _chosen(only):
        mutant = planted().MUTANTS[name]
        table.add_row(name, escape(mutant.bug), escape(mutant.patches), ", ".join(mutant.killed_by))
    output.print(table)


def run(only: Sequence[str], seed: int, workers: int, json_file: Path | None, trace: str | None) -> int:
    """Attack them, print what came of it; the exit code. Raises OSError, NotPlanted."""
    names = _chosen([trace] if trace is not None else only)
    began_s = perf_counter()
    with _Display(len(names)) as display:
        rows = play(names, seed, workers or os.cpu_count() or 1, display.ended)
    board = Scoreboard(seed, rows, perf_counter() - began_s)
    if json_file is not None:
        json_file.write_text(json.dumps(board.to_json(), indent=2) + "\n", encoding="utf-8")
    if trace is not None:
        _tell(board.mutants[0])
    else:
        output.print(score_table(board))
    _verdict(board)
    return PASSED if board.passed else FAILED


def _chosen(names: Sequence[str]) -> list[str]:
    try:
        return chosen(names)
    except UnknownMutants as error:
        stop(BAD_INPUT, f"paylab: {error}")


# ---- for people -----------------------------------------------------------------------------------------------------


def score_table(board: Scoreboard) -> Table:
    """A row a mutant: who killed it in how many seconds, what the fastest needed for it, and the shortest story."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("mutant", no_wrap=True)
    table.add_column("killed by, in seconds", ratio=1)
    table.add_column("effort", justify="right", no_wrap=True)
    table.add_column("shortest trace", no_wrap=True)
    for row in board.mutants:
        table.add_row(row.name, *_cells(row))
    for row in board.rows:
        if row.name == SHIPPED:
            table.add_section()
            for attack in row.attacks:
                table.add_row(AS_IT_IS, *_shipped_cells(attack))
    return table


def _cells(row: Row) -> tuple[str, str, str]:
    fastest, shortest = row.fastest, row.shortest
    if fastest is None or shortest is None:
        tried = ", ".join(f"{_timed(attack)}, {attack.work}" for attack in row.attacks)
        return f"[bold red]SURVIVES[/] {tried}", "", ""
    killers = ", ".join(_timed(attack) for attack in row.kills)
    missed = f" [yellow](not {', '.join(row.missed_by)})[/]" if row.missed_by else ""
    return killers + missed, fastest.work, shortest.length


def _shipped_cells(attack: Attack) -> tuple[str, str, str]:
    verdict = f"[bold red]FALSE ALARM[/] {escape(attack.finding)}" if attack.killed else "[green]survives[/]"
    return f"{verdict} {_timed(attack)}", attack.work, ""


def _timed(attack: Attack) -> str:
    return f"{attack.instrument} {attack.seconds:.2f}"


def _tell(row: Row) -> None:
    """The shortest story of one mutant's death."""
    mutant = planted().MUTANTS[row.name]
    _print(f"{row.name}: {mutant.bug}\npatches {mutant.patches}")
    if row.shortest is None:
        return
    _print(f"killed by the {row.shortest.instrument}: {row.shortest.finding}\n")
    for line in row.shortest.trace:
        _print(f"  {line}")
    _print("")


def _print(text: str) -> None:
    output.print(text, markup=False, highlight=False, soft_wrap=True)


def _verdict(board: Scoreboard) -> None:
    killed = len(board.mutants) - len(board.survivors)
    said = [f"{killed} of {len(board.mutants)} mutants killed"]
    if board.survivors:
        said.append(f"survivors: {', '.join(board.survivors)}")
    alarms = [f"{attack.instrument} says {attack.finding}" for attack in board.false_alarms]
    said.append(f"against the shipped code: {'; '.join(alarms)}" if alarms else "the shipped code survives")
    verdict = "[bold green]pass[/]" if board.passed else "[bold red]fail[/]"
    messages.print(f"verdict: {verdict}: {escape('; '.join(said))}; {board.seconds:.0f} s", highlight=False)


class _Display:
    """A bar on a terminal, a line for each that ended anywhere else."""

    def __init__(self, mutants: int) -> None:
        self._bar = Progress(
            TextColumn("mutants"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.description}"), console=messages, transient=True, disable=not messages.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=mutants)

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def ended(self, row: Row) -> None:
        """One more."""
        text = _ended(row)
        self._bar.update(self._task, advance=row.name != SHIPPED, description=text)
        if not messages.is_terminal:
            say(text)


def _ended(row: Row) -> str:
    if row.name == SHIPPED:
        (attack,) = row.attacks
        return f"{AS_IT_IS}: {attack.instrument} {'finds ' + attack.finding if attack.killed else 'finds nothing'}"
    fastest = row.fastest
    return f"{row.name}: {'survives' if fastest is None else f'killed by {fastest.instrument}'}"
