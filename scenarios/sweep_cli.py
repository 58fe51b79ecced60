"""`paylab sweep`: thin, like the rest of the command line; the work is in `scenarios.sweep`."""

import os
from pathlib import Path
from typing import Annotated

import typer


def sweep(
    scenario: Annotated[
        str | None, typer.Argument(metavar="[SCENARIO]", help="A name from `paylab list`, or a YAML file.")
    ] = None,
    vary: Annotated[
        list[str], typer.Option("--vary", metavar="KEY=VALUES", help="An axis: 1,2,4 or 20:200:20 or 20..200; repeat.")
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change the scenario for all variants; repeat.")
    ] = [],  # noqa: B006 - as above
    seeds: Annotated[str, typer.Option(metavar="SEEDS", help="1:10 (both included) or 1,5,7.")] = "1",
    samples: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Draw N combinations instead of playing all.")
    ] = None,
    sampling: Annotated[str, typer.Option(help="How: lhs (Latin hypercube) or random.")] = "lhs",
    sample_seed: Annotated[int, typer.Option(min=0, metavar="S", help="Same seed: same combinations.")] = 1,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="All of the above from a sweep file.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="DIR", help="Go on with a sweep, or show a finished one.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", metavar="FILE", help="What things cost; see paylab calibrate.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, max=1024, help="Processes; 0: one a core.")] = 0,
    backend: Annotated[str, typer.Option(help="loky (processes here) or dask (see docs/sweeps.md).")] = "loky",
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a dask cluster; without it, one is started here.")
    ] = None,
    metric: Annotated[
        list[str], typer.Option("--metric", metavar="NAME", help="A column of the table on the terminal; repeat.")
    ] = [],  # noqa: B006 - as above
    plot: Annotated[
        list[str], typer.Option("--plot", metavar="X,Y", help="Draw metric Y over the varied key X; repeat.")
    ] = [],  # noqa: B006 - as above
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the sweep's folder is made.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary alone on stdout, as JSON.")] = False,
) -> None:
    """Play many variants of a scenario in the simulated world, into one table.

    Every combination of the axes is played with every seed (or a sample of
    the combinations, with --samples). All are checked before the first is
    played. Variants with the same seed meet the same customers, so they can
    be compared seed by seed. The table, results.parquet, has a row a variant:
    its values, verdict, digest of its history, and every metric.

    What is finished is kept: after Ctrl-C, or a crash, --resume goes on and
    plays nothing twice. Number of workers, backend and interruptions change
    nothing in the results, and the digest that is printed shows it.

    \b
    Examples:
      paylab sweep baseline --vary load.stages.1.rate=20:80:20 --seeds 1:5
      paylab sweep baseline --vary load.stages.1.rate=20,60 \\
          --plot load.stages.1.rate,latency.pay.p99
      paylab sweep slow-channel --vary faults.0.delay=100ms..900ms --samples 200
      paylab sweep --file my-sweep.yaml --workers 8
      paylab sweep --resume runs/sweep-20260131-120000-baseline
      paylab sweep --file my-sweep.yaml \\
          --backend dask --scheduler tcp://10.0.0.5:8786

    \b
    Exit codes:
      0    all variants were played, whatever their verdicts
      2    bad input: every problem of every variant is listed
      3    it could not be played or kept
      130  interrupted; --resume goes on
    """
    from scenarios.console import reported_errors

    _refuse_contradictions(
        {"SCENARIO": scenario, "--file": file, "--resume": resume},
        {"--vary": vary, "--set": overrides, "--samples": samples, "--calibration": resume and calibration},
        backend,
    )
    with reported_errors():
        from scenarios.sweep import Sampling, Workers, commands

        shown = commands.Shown(metric, plot)
        if scenario is not None:
            drawn = Sampling(samples, sampling, sample_seed) if samples else None
            prepared = commands.begin(scenario, overrides, vary, seeds, drawn, out, shown, calibration)
        elif file is not None:
            prepared = commands.begin_file(file, out, shown, calibration)
        else:
            prepared = commands.go_on(resume or Path(), shown)
        crew = Workers(workers or os.cpu_count() or 1, backend, scheduler)
        raise typer.Exit(commands.play(prepared, crew, shown, as_json))


def _refuse_contradictions(sources: dict[str, object], options: dict[str, object], backend: str) -> None:
    """Stop with exit code 2 unless there is one source, with options that it takes, and the backend is known."""
    from scenarios.console import BAD_INPUT, stop
    from scenarios.spreading import BACKENDS

    given = [name for name, value in sources.items() if value]
    extra = [name for name, value in options.items() if value]
    if len(given) != 1:
        stop(BAD_INPUT, f"paylab: {' and '.join(given) or 'nothing'} given; expected SCENARIO, --file or --resume")
    if extra and given != ["SCENARIO"]:
        stop(BAD_INPUT, f"paylab: {', '.join(extra)} with {given[0]}, which says it all; expected one or the other")
    if backend not in BACKENDS:
        stop(BAD_INPUT, f"paylab: unknown backend {backend!r}; expected one of {', '.join(BACKENDS)}")
