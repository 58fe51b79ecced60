"""`paylab compile`: thin, like the rest of the command line; the work is in `compiling`."""

import shlex
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from scenarios import compiling


def compile_model(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the compiled model goes.")
    ] = compiling.FOLDER,
) -> None:
    """Compile the simulator's model into machine code: it plays the same in two thirds of the time.

    Takes a C compiler and about two minutes. Nothing uses it by itself: put its
    folder on PYTHONPATH in front of a command that simulates much (which also
    checks and tabulates what it played, and gains less). Commands refuse a
    compiled model whose sources have changed since.

    \b
    Examples:
      paylab compile
      PYTHONPATH=build/compiled paylab sweep --file my-sweep.yaml
      PYTHONPATH=build/compiled paylab capacity --rate 200 --p99 300ms \\
          --availability 99.9%
    """
    from scenarios.console import messages, reported_errors, say
    from scenarios.progress import CountProgress
    from scenarios.units import format_duration

    with reported_errors():
        if compiling.is_current(out):
            say(f"{out} is up to date")
            return
        began_s, total = monotonic(), len(compiling.modules())
        with CountProgress("compiling", "modules", total, messages) as progress:
            compiling.compile_model(out, lambda done, _: progress.show(done, "the model", monotonic() - began_s))
        say(f"compiled {total} modules in {format_duration(round(monotonic() - began_s))}: {out}")
        say(f"in front of a command: PYTHONPATH={shlex.quote(str(out.resolve()))}")
