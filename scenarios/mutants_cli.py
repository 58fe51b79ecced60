"""`paylab mutants`: thin, like the rest of the command line; the work is in `scenarios.mutants`."""

from pathlib import Path
from typing import Annotated

import typer

SEED_MAX = 2**31 - 1


def mutants(
    only: Annotated[
        list[str], typer.Option("--only", metavar="NAME", help="This mutant alone; repeat for several.")
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    list_: Annotated[bool, typer.Option("--list", help="Only say which mutants there are.")] = False,
    trace: Annotated[
        str | None, typer.Option("--trace", metavar="NAME", help="The shortest story of one mutant's death.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, metavar="S", help="Where random runs begin.")] = 1,
    workers: Annotated[int, typer.Option(min=0, max=1024, help="Processes; 0: one a core.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="PATH", help="Write everything there, traces included.")
    ] = None,
) -> None:
    """Break the shipped code on purpose, one bug at a time, and see which instrument notices.

    Each mutant is a small patch of the shipped code (`tests/mutants` of a
    checkout). The instruments that should kill it are pointed at it: explorer,
    checks of the catalogue's scenarios, fuzz, crash-point matrix, and real
    services in this process. The shipped code has to survive the same effort.
    docs/mutants.md explains.

    \b
    Examples:
      paylab mutants
      paylab mutants --list
      paylab mutants --only presume_commit --only no_fencing
      paylab mutants --trace decision_before_durable
      paylab mutants --json mutants.json

    \b
    Exit codes:
      0    every mutant was killed, and the shipped code survives
      1    a mutant survived, or the shipped code did not
      2    bad input
      3    there are no mutants here (paylab was installed without its tests)
      130  interrupted
    """
    from scenarios.console import reported_errors

    with reported_errors():
        from scenarios.mutants import commands

        if list_:
            commands.list_mutants(only)
        else:
            raise typer.Exit(commands.run(only, seed, workers, json_file, trace))
