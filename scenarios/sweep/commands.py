"""What `paylab sweep` does with its arguments: read them all, play, show, and choose the exit code."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from scenarios.console import BAD_INPUT, INTERRUPTED, PASSED, messages, output, say, stop
from scenarios.progress import CountProgress
from scenarios.spec import Source, open_scenario
from scenarios.spec.overrides import UnusableOverride, parse_override
from scenarios.sweep import plot
from scenarios.sweep.axes import UnusableAxis, read_axis, read_seeds
from scenarios.sweep.definition import read_sweep
from scenarios.sweep.design import Design, Sampling
from scenarios.sweep.results import Results
from scenarios.sweep.running import Progress, Sweep, Workers, prepare, resume
from scenarios.thresholds import ThresholdError, find_metric, format_value

SHOWN = ("throughput.settled", "latency.pay.p99", "availability.success")
ROWS_MAX = 40
HEADING_MAX = 12


@dataclass(frozen=True)
class Shown:
    """What is shown in the end: `metrics` of the table, and `plots`, each `X,Y`."""

    metrics: Sequence[str] = ()
    plots: Sequence[str] = ()

    def check(self, keys: tuple[str, ...]) -> None:
        """End with exit code 2, before anything is played, if any of it cannot be shown of a sweep over `keys`."""
        problems = [*_problems(find_metric, "--metric", self.metrics)]
        problems += _problems(lambda text: plot.check(keys, *_pair(text)), "--plot", self.plots)
        if problems:
            stop(BAD_INPUT, *problems)


def _pair(text: str) -> tuple[str, str]:
    x, comma, y = text.partition(",")
    if not comma:
        raise plot.CannotPlot(f"{text!r} is no pair; expected X,Y: a varied key and a metric")
    return x, y


def begin(
    scenario: str, overrides: Sequence[str], vary: Sequence[str], seeds: str, sampling: Sampling | None,
    out: Path, shown: Shown, calibration: Path | None = None,
) -> Sweep:  # fmt: skip
    """A new sweep from options; every unusable one is named before the end with exit code 2."""
    problems = [*_problems(parse_override, "--set", overrides), *_problems(read_axis, "--vary", vary)]
    problems += _problems(read_seeds, "--seeds", [seeds])
    if problems:
        stop(BAD_INPUT, *problems)
    changes, axes = tuple(map(parse_override, overrides)), tuple(map(read_axis, vary))
    design = Design(changes, axes, (), read_seeds(seeds), sampling)
    return _prepared(open_scenario(scenario), design, out, shown, calibration)


def _problems(read: Callable[[str], object], option: str, texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        try:
            read(text)
        except (UnusableOverride, UnusableAxis, ThresholdError, plot.CannotPlot) as error:
            yield f"{option}: {error}"


def begin_file(path: Path, out: Path, shown: Shown, calibration: Path | None = None) -> Sweep:
    """A new sweep from a file."""
    return _prepared(*read_sweep(path), out, shown, calibration)


def _prepared(source: Source, design: Design, out: Path, shown: Shown, calibration: Path | None) -> Sweep:
    shown.check(design.keys)
    try:
        return prepare(source, design, out, calibration)
    except UnusableAxis as error:
        stop(BAD_INPUT, *(f"paylab: {line}" for line in str(error).splitlines()))


def go_on(path: Path, shown: Shown) -> Sweep:
    """A sweep that was begun before."""
    sweep = resume(path)
    shown.check(sweep.keys)
    return sweep


def play(sweep: Sweep, workers: Workers, shown: Shown, as_json: bool) -> int:
    """Play what is missing and show everything; the exit code."""
    planned = len(sweep.points) * len(sweep.seeds)
    say(f"{planned} variants: {len(sweep.points)} combinations, {len(sweep.seeds)} seeds; kept in {sweep.folder.path}")
    with CountProgress("sweep", "variants", planned, messages) as display:
        try:
            results = sweep.run(workers, lambda progress: _show(display, progress))
        except KeyboardInterrupt:
            stop(INTERRUPTED, f"paylab: interrupted; go on with: paylab sweep --resume {sweep.folder.path}")
    if as_json:
        output.print(json.dumps(document(sweep, results), indent=2), markup=False, highlight=False, soft_wrap=True)
    else:
        output.print(summary_table(results, shown.metrics or SHOWN))
        _tell(results)
    say(f"results: {sweep.folder.results}")
    for text in shown.plots:
        say(f"plot: {plot.draw(results, *_pair(text), sweep.folder.path)}")
    return PASSED


def document(sweep: Sweep, results: Results) -> dict[str, object]:
    """What `--json` prints."""
    return {
        "folder": str(sweep.folder.path),
        "results": str(sweep.folder.results),
        "variants": len(results.table),
        "combinations": len(sweep.points),
        "seeds": list(sweep.seeds),
        "verdicts": {str(name): int(count) for name, count in results.table["verdict"].value_counts().items()},
        "digest": results.digest,
    }


def _show(display: CountProgress, progress: Progress) -> None:
    left_s = (progress.planned - progress.kept - progress.played) / progress.per_s if progress.per_s else 0.0
    text = f"{progress.per_s:.1f} variants/s, {progress.bad} did not pass, {left_s:.0f} s left"
    display.show(progress.kept + progress.played, text, progress.elapsed_s)


def _tell(results: Results) -> None:
    counts = results.table["verdict"].value_counts()
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    output.print(f"variants  {len(results.table)}: {told}", highlight=False)
    output.print(f"digest    {results.digest}", highlight=False, soft_wrap=True)


def summary_table(results: Results, metrics: Sequence[str]) -> Table:
    """A row a combination: its values, how many of its seeds passed, and metrics as means with their half widths."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for key in results.keys:
        table.add_column(escape(_heading(key)), justify="right", overflow="fold")
    for name in ("passed", *metrics):
        table.add_column(_heading(name), justify="right", overflow="fold")
    measured = {name: results.estimates(name) for name in metrics if name in results.metrics}
    points = results.points()
    for number, (point, rows) in enumerate(points[:ROWS_MAX]):
        passed = f"{(rows['verdict'] == 'pass').sum()}/{len(rows)}"
        cells = [_cell(name, measured[name].iloc[number]) if name in measured else "" for name in metrics]
        table.add_row(*(escape(str(value)) for value in point.values()), passed, *cells)
    if len(points) > ROWS_MAX:
        table.caption = f"{len(points) - ROWS_MAX} more combinations are in results.parquet"
    return table


def _heading(name: str) -> str:
    """A dotted name on two lines, where it is too long for one."""
    *front, last = name.split(".")
    return f"{'.'.join(front)}.\n{last}" if front and len(name) > HEADING_MAX else name


def _cell(name: str, row: Any) -> str:
    if not row["runs"]:
        return ""
    unit = find_metric(name).unit
    shown, half = format_value(row["mean"], unit), (row["high"] - row["low"]) / 2
    return f"{shown} ± {format_value(float(f'{half:.2g}'), unit)}" if isfinite(half) else shown
