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
    from scenarios.capacity import commands
    from scenarios.console import reported_errors

    with reported_errors():
        asked = commands.Asked(
            rate=rate, p99=p99, availability=availability, failures=failures, mix=mix, topology=topology,
            settings=tuple(settings), calibration=calibration, replica_cores=replica_cores, replicas_max=replicas_max,
            price_core_hour=price_core_hour, price_replica_hour=price_replica_hour, mtbf=mtbf, mttr=mttr,
            payments=payments, seed=seed, workers=workers,
        )  # fmt: skip
        commands.plan(asked, out, confirm=confirm, notebook=notebook, as_json=as_json)


@app.command()
def autoscale(
    rate: Annotated[str, typer.Option(metavar="RATE", help="Payments per second at the peak.")] = "200",
    p99: Annotated[
        str, typer.Option("--p99", metavar="TIME", help="A payment that takes longer is too slow.")
    ] = "300ms",
    profile: Annotated[
        str, typer.Option(metavar="STAGES", help="RATE:TIME,... like 60:5min,240:10min; not given: a wave.")
    ] = "",
    targets: Annotated[str, typer.Option(metavar="LIST", help="Target utilisations.")] = "0.4,0.5,0.6,0.7,0.8",
    stabilisation: Annotated[str, typer.Option(metavar="LIST", help="Stabilisation windows.")] = "0s,60s,300s",
    startup: Annotated[str, typer.Option(metavar="TIME", help="Until a new replica serves.")] = "10s",
    slow: Annotated[str, typer.Option(metavar="SHARE", help="Payments that may be too slow.")] = "1%",
    mix: Annotated[str, typer.Option(metavar="MIX", help="Weights of journeys: pay, browse, refund.")] = "pay=1",
    topology: Annotated[str, typer.Option(help="Which services share a process.")] = DEFAULT_TOPOLOGY,
    calibration: Annotated[Path | None, typer.Option(metavar="FILE", help="From `paylab calibrate`.")] = None,
    price_core_hour: Annotated[float, typer.Option(min=0, help="Price of a core for an hour.")] = 0.04,
    price_replica_hour: Annotated[float, typer.Option(min=0, help="Of a replica, besides its core.")] = 0.01,
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Same question and seed: same answer.")] = 1,
    workers: Annotated[int, typer.Option(min=-1, help="Processes that work; -1: one a core.")] = -1,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the folder is made.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result on stdout as JSON.")] = False,
) -> None:
    """Which target and which stabilisation window keep payments quick while the load changes, at what cost?

    Kubernetes' algorithm (every 15 s, 10 % tolerance, at most double or four
    more, down only to the highest of the window) scales each process over the
    profile. Shown: share of payments too slow, replica hours, price, changes.

    \b
    Examples:
      paylab capacity autoscale --rate 200 --p99 300ms
      paylab capacity autoscale --profile 60:5min,240:10min,60:10min --startup 30s
      paylab capacity autoscale --targets 0.5,0.6,0.7 --stabilisation 60s,300s --json

    Exit codes: 0 a tuning keeps the promise, 1 none does, 2 bad input, 130 interrupted.
    """
    from scenarios.capacity import studies
    from scenarios.console import reported_errors

    with reported_errors():
        studies.autoscale(
            studies.AutoscaleAsked(
                rate=rate, p99=p99, profile=profile, targets=targets, stabilisation=stabilisation, startup=startup,
                slow=slow, mix=mix, topology=topology, calibration=calibration, price_core_hour=price_core_hour,
                price_replica_hour=price_replica_hour, seed=seed, workers=workers,
            ), out, as_json,
        )  # fmt: skip


@app.command()
def metastability(
    loads: Annotated[
        str, typer.Option(metavar="LIST", help="Loads, as shares of the capacity.")
    ] = "0.4,0.5,0.6,0.7,0.8,0.9",
    budgets: Annotated[
        str, typer.Option(metavar="LIST", help="Values of http.retry_budget_share beside the one in force.")
    ] = "0,0.05,0.2,0.5,1",
    settings: Annotated[
        list[str], typer.Option("--set", metavar="SETTING=VALUE", help="Change a setting; repeat for several.")
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    outage: Annotated[str, typer.Option(metavar="TIME", help="The trigger: nothing is served for so long.")] = "10s",
    timeout: Annotated[str, typer.Option(metavar="TIME", help="A caller's patience with one attempt.")] = "1s",
    attempts: Annotated[int, typer.Option(min=1, max=20, help="Attempts of one call at most.")] = 4,
    replicas: Annotated[int, typer.Option(min=1, max=100, help="Of the bottleneck.")] = 2,
    watched: Annotated[str, typer.Option(metavar="TIME", help="How long it may take to recover.")] = "120s",
    shedding: Annotated[bool, typer.Option("--shedding", help="Turn away what could not be answered in time.")] = False,
    runs: Annotated[int, typer.Option(min=1, max=100, help="Seeds a cell.")] = 2,
    calibration: Annotated[Path | None, typer.Option(metavar="FILE", help="From `paylab calibrate`.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Same question and seed: same map.")] = 1,
    workers: Annotated[int, typer.Option(min=-1, help="Processes that work; -1: one a core.")] = -1,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the folder is made.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the map on stdout as JSON.")] = False,
) -> None:
    """Under which load and retry budget does a short outage never end?

    A map: after the outage, does the bottleneck recover by itself, how fast,
    or does it stay down because callers repeat what they gave up, and it works
    for nobody? With the platform's own backoff and its retry budget, the
    setting http.retry_budget_share; the one in force is marked. With
    --shedding, it turns away what it could not answer in time.

    \b
    Examples:
      paylab capacity metastability
      paylab capacity metastability --outage 3s --timeout 500ms
      paylab capacity metastability --shedding
      paylab capacity metastability --set http.retry_budget_share=0.3
      paylab capacity metastability --loads 0.6,0.7 --budgets 0,0.1,1 --json
    """
    from scenarios.capacity import studies
    from scenarios.console import reported_errors

    with reported_errors():
        studies.metastability(
            studies.MetastabilityAsked(
                loads=loads, budgets=budgets, settings=tuple(settings), outage=outage, timeout=timeout,
                attempts=attempts, replicas=replicas, watched=watched, shedding=shedding, runs=runs,
                calibration=calibration, seed=seed, workers=workers,
            ), out, as_json,
        )  # fmt: skip
