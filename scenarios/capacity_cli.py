"""`paylab capacity`: how many replicas of what, and why not fewer."""

from pathlib import Path
from typing import Annotated

import typer

from settlement.topology import DEFAULT_TOPOLOGY

SEED_MAX = 2**31 - 1

app = typer.Typer(rich_markup_mode="rich", invoke_without_command=True, subcommand_metavar="[COMMAND]")


@app.callback()
def capacity(
    context: typer.Context,
    rate: Annotated[str, typer.Option(metavar="RATE", help="Payments per second, like 200 or 9000/min.")] = "",
    p99: Annotated[str, typer.Option("--p99", metavar="TIME", help="Of a payment, checkout included: 300ms.")] = "",
    availability: Annotated[str, typer.Option(metavar="SHARE", help="Of payments that succeed: 99.9%.")] = "",
    failures: Annotated[
        int, typer.Option(min=0, max=8, help="Replicas of any one process that may be gone at once.")
    ] = 1,
    mix: Annotated[str, typer.Option(metavar="MIX", help="Weights of journeys: pay, browse, refund.")] = "pay=1",
    topology: Annotated[str, typer.Option(help="Which services share a process.")] = DEFAULT_TOPOLOGY,
    settings: Annotated[
        list[str], typer.Option("--set", metavar="SETTING=VALUE", help="Change a setting; repeat for several.")
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    calibration: Annotated[
        Path | None, typer.Option(metavar="FILE", help="From `paylab calibrate`; not given: the shipped one.")
    ] = None,
    replica_cores: Annotated[float, typer.Option(min=0.05, help="A replica's quota of cores.")] = 1.0,
    replicas_max: Annotated[int, typer.Option(min=1, max=1000, help="Most replicas of one process.")] = 64,
    price_core_hour: Annotated[float, typer.Option(min=0, help="Price of a core for an hour.")] = 0.04,
    price_replica_hour: Annotated[float, typer.Option(min=0, help="Of a replica, besides its cores.")] = 0.01,
    mtbf: Annotated[str, typer.Option(metavar="TIME", help="A replica's mean time between failures.")] = "720h",
    mttr: Annotated[str, typer.Option(metavar="TIME", help="Until a failed replica is back.")] = "5min",
    payments: Annotated[int, typer.Option(min=50, max=1_000_000, help="Measured in one replication.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Same question and seed: same answer.")] = 1,
    workers: Annotated[int, typer.Option(min=-1, help="Processes that simulate; -1: one a core.")] = -1,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Play the answer with real processes, if they fit.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the answer's folder is made.")] = Path(
        "runs"
    ),
    notebook: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write an executed notebook, like out.ipynb.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer on stdout as JSON.")] = False,
) -> None:
    """How many replicas of what does a load need, what does that cost, and why are fewer not enough?

    First operational laws (what each payment costs each process, who is the
    bottleneck, where the knee is), then a screen of all replica vectors, then
    simulation of those near the answer: the cheapest vector that meets rate,
    p99 and availability while replicas are gone; the runner-up; what binds;
    how far the load can rise; how much 10 % more demand matters; what a
    million payments cost; and all that was taken for granted.

    What cannot be met is refused with every reason and what could be had.

    \b
    Examples:
      paylab capacity --rate 200 --p99 300ms --availability 99.9%
      paylab capacity --rate 200 --p99 80ms --availability 99.9% --failures 0
      paylab capacity --rate 50 --p99 1s --availability 99% --mix pay=70,browse=20,refund=10
      paylab capacity --rate 20 --p99 300ms --availability 99% --failures 0 --confirm
      paylab capacity --rate 200 --p99 300ms --availability 99.9% --notebook out.ipynb
      paylab capacity --rate 200 --p99 300ms --availability 99.9% --json > answer.json

    Exit codes: 0 answered, 1 cannot be met, 2 bad input, 3 no answer, 130 interrupted.
    """
    if context.invoked_subcommand is not None:
        return
    from scenarios import capacity_commands as commands
    from scenarios.console import reported_errors

    with reported_errors():
        asked = commands.Asked(
            rate=rate, p99=p99, availability=availability, failures=failures, mix=mix, topology=topology,
            settings=tuple(settings), calibration=calibration, replica_cores=replica_cores, replicas_max=replicas_max,
            price_core_hour=price_core_hour, price_replica_hour=price_replica_hour, mtbf=mtbf, mttr=mttr,
            payments=payments, seed=seed, workers=workers,
        )  # fmt: skip
        commands.plan(asked, out, confirm=confirm, notebook=notebook, as_json=as_json)
