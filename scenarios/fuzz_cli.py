"""`paylab fuzz`: thin, like the rest of the command line; the work is in `scenarios.fuzz`."""

from pathlib import Path
from typing import Annotated

import typer

SEED_MAX = 2**31 - 1


def fuzz(
    runs: Annotated[int, typer.Option(min=1, max=10_000_000, metavar="N", help="How many seeds to play.")] = 500,
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, metavar="S", help="The first seed.")] = 1,
    replay: Annotated[
        int | None, typer.Option("--replay", min=0, max=SEED_MAX, metavar="SEED", help="Play one seed; tell its story.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Play a kept plan; tell its story.")
    ] = None,
    stop_after_failures: Annotated[
        int, typer.Option("--stop-after-failures", min=0, metavar="N", help="Stop at the N-th; 0: play all.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=0, max=1024, help="Processes; 0: one a core.")] = 0,
    shrink: Annotated[bool, typer.Option(help="Make failing plans as small as possible.")] = True,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the summary and failing plans are kept.")
    ] = Path("runs/fuzz"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary alone on stdout, as JSON.")] = False,
) -> None:
    """Play thousands of random runs of the simulated platform, and shrink what goes wrong.

    Each seed draws a small platform (replicas, short leases), customers who
    get in each other's way (one order paid twice, one account, one key from
    two places, refunds) and a mix of faults: lost, repeated, late and
    overtaken messages, crashes at named points of the protocol, pauses
    longer than the lease, wrong clocks, slow disks. Then the faults stop,
    and within 30 s of virtual time everything has to be settled, everybody
    told, and a new payment must succeed. The checks of the scenarios judge.

    A failing seed is shrunk to the fewest faults and customers that still
    fail the same way, told as a story, and kept as a plan to play again.
    The same seed is the same run, with any number of workers.

    \b
    Examples:
      paylab fuzz --runs 2000
      paylab fuzz --runs 100000 --seed 1000000 --stop-after-failures 1
      paylab fuzz --replay 4711               the whole story of one seed
      paylab fuzz --plan runs/fuzz/4711.json  a shrunk failure again

    \b
    Exit codes:
      0    no violation
      1    a violation was found
      2    bad input
      3    nothing could be judged
      130  interrupted, after a summary of what was played
    """
    from scenarios.console import BAD_INPUT, reported_errors, stop

    if replay is not None and plan is not None:
        stop(BAD_INPUT, "paylab: --replay and --plan are given; expected one of them")
    with reported_errors():
        from scenarios.fuzz import commands

        if replay is not None:
            raise typer.Exit(commands.tell_seed(replay, as_json))
        if plan is not None:
            raise typer.Exit(commands.tell_plan(plan, as_json))
        raise typer.Exit(commands.play_many(seed, runs, workers, stop_after_failures, shrink, out, as_json))
