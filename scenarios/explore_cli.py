"""`paylab explore`: thin, like the rest of the command line; the work is in `explore_command`."""

from pathlib import Path
from typing import Annotated

import typer


def explore(
    participants: Annotated[int, typer.Option(min=1, max=5, help="How many take part in the transaction.")] = 2,
    replicas: Annotated[int, typer.Option(min=1, max=4, help="Gateway replicas that may drive it.")] = 2,
    crashes: Annotated[int, typer.Option(min=0, max=9, help="Processes that die, at any effect, of either role.")] = 2,
    crash_of: Annotated[str, typer.Option(help="Whose: anybody, gateway or participants.")] = "anybody",
    losses: Annotated[int, typer.Option(min=0, max=9, help="Messages that never arrive.")] = 1,
    duplicates: Annotated[int, typer.Option(min=0, max=9, help="Messages that arrive once more.")] = 1,
    pauses: Annotated[int, typer.Option(min=0, max=9, help="Leases that run out while their owner lives.")] = 1,
    delays: Annotated[
        int | None,
        typer.Option(min=0, max=9, help="Gateway timers that fire while the answer is on its way; not given: any."),
    ] = None,
    exhaustions: Annotated[
        int, typer.Option(min=0, max=9, help="Retry limits that are reached: an operator gets it.")
    ] = 0,
    operators: Annotated[
        int, typer.Option(min=0, max=9, help="Heuristic orders of operators: commit, abort, forget.")
    ] = 0,
    refusals: Annotated[bool, typer.Option(help="Participants may vote no.")] = True,
    uncertainty: Annotated[bool, typer.Option(help="Participants may not know what a channel holds.")] = True,
    asked_last: Annotated[bool, typer.Option("--asked-last", help="One participant charges at once.")] = False,
    forgetful_channel: Annotated[
        bool, typer.Option("--forgetful-channel", help="A channel that forgets what was released: see what it breaks.")
    ] = False,
    protocol: Annotated[str, typer.Option(help="two_phase, or article: to see how that loses money.")] = "two_phase",
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Report every property that is violated, not only the first.")
    ] = False,
    states_max: Annotated[int, typer.Option(min=1, help="Give up beyond so many states.")] = 20_000_000,
    seconds_max: Annotated[float, typer.Option(min=0, help="Give up after so many seconds.")] = 3_600,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write report.html and more there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result alone on stdout, as JSON.")] = False,
) -> None:
    """Follow the shipped commit protocol into every state it can reach.

    One transaction; every order of deliveries and timers, every vote, and as
    many faults as the bounds allow, each at every moment at which it can make a
    difference. Every state is judged. Prints the properties, and the shortest
    story of how one is violated. docs/explorer.md explains.

    \b
    Examples:
      paylab explore                   2 participants, all kinds of faults
      paylab explore --pauses 0        the same without zombies: four times faster
      paylab explore --participants 3 --crashes 1 --losses 0 --duplicates 0 \\
                     --pauses 0
      paylab explore --crashes 0 --losses 0 --duplicates 0 --pauses 0 \\
                     --operators 1 --exhaustions 1
      paylab explore --protocol article --keep-going --out runs/article
      paylab explore --forgetful-channel --out runs/forgetful
      paylab explore --seconds-max 60 --json > exploration.json

    \b
    Exit codes:
      0    all properties hold
      1    one is violated
      2    bad input
      3    incomplete: a limit was reached
      130  interrupted
    """
    from scenarios.console import reported_errors

    with reported_errors():
        from scenarios import explore_command
        from simulator.explorer.engine import Limits
        from simulator.explorer.parts import Bounds

        bounds = Bounds(
            participants, replicas, crashes, losses, duplicates, pauses, delays, exhaustions, operators, refusals,
            uncertainty, asked_last, forgetful_channel, protocol, crash_of,
        )  # fmt: skip
        limits = Limits(states_max, seconds_max)
        explore_command.explore(bounds, limits, out, as_json=as_json, keep_going=keep_going)
