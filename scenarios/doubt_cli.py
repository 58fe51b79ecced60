"""`paylab doubt ...`: look at the transactions in doubt of a running platform, and end them by hand."""

import json
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Transactions in doubt of a running platform: look, and decide by hand.")

Gid = Annotated[str, typer.Argument(metavar="GID", help="The transaction, from `paylab doubt list`.")]
Reason = Annotated[str, typer.Option(help="Why; it stays on record with your name.")]
Registry = Annotated[str | None, typer.Option(metavar="URL", help="The registry; the default is that which is up.")]
GatewayOption = Annotated[
    str | None,
    typer.Option("--gateway", metavar="URL", help="A gateway, where the registered ones cannot be reached."),
]
Against = Annotated[
    bool, typer.Option("--against-decision", help="Insist on contradicting a durable decision: heuristic damage.")
]


@app.command("list")
def list_transactions(
    state: Annotated[str, typer.Option(help="open, preparing, decided, exhausted or closed.")] = "open",
    older: Annotated[str, typer.Option(metavar="DURATION", help="Only what was begun that long ago.")] = "1s",
    as_json: Annotated[bool, typer.Option("--json", help="Everything known, as JSON.")] = False,
    registry: Registry = None,
    gateway: GatewayOption = None,
) -> None:
    """What is in doubt: since when, who voted what, who drives it, and what to do.

    \b
    Examples:
      paylab doubt list
      paylab doubt list --state exhausted --json
    """
    from scenarios import doubt_commands
    from scenarios.console import output, reported_errors, say

    with reported_errors():
        asked = doubt_commands.gateway(registry, gateway)
        found = asked.transactions(state, doubt_commands.milliseconds(older))
        if as_json:
            typer.echo(json.dumps(found, indent=2))
        elif not found:
            say("nothing is in doubt")
        else:
            output.print(doubt_commands.doubt_table(found))
            for row in found:
                output.print(f"{row['gid']}: {row['advice']}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def show(gid: Gid, registry: Registry = None, gateway: GatewayOption = None) -> None:
    """Everything known of one transaction, as JSON, with what operators did to it.

    \b
    Example:
      paylab doubt show p17954917378307452b2309755c57b
    """
    from scenarios import doubt_commands
    from scenarios.console import reported_errors

    with reported_errors():
        typer.echo(json.dumps(doubt_commands.gateway(registry, gateway).transaction(gid), indent=2))


@app.command()
def commit(
    gid: Gid, reason: Reason, against: Against = False, registry: Registry = None, gateway: GatewayOption = None
) -> None:
    """Commit it: where the protocol decided so, the decision is delivered again; otherwise a heuristic decision.

    \b
    Example:
      paylab doubt commit p17954917378307452b2309755c57b \\
                   --reason "payment is back"
    """
    _order(registry, gateway, gid, "commit", reason, against_decision=against)


@app.command()
def abort(
    gid: Gid, reason: Reason, against: Against = False, registry: Registry = None, gateway: GatewayOption = None
) -> None:
    """Abort it: where the protocol decided so, the decision is delivered again; otherwise a heuristic decision.

    \b
    Example:
      paylab doubt abort p17954917378307452b2309755c57b \\
                   --reason "payment is lost, the bank confirms no charge"
    """
    _order(registry, gateway, gid, "abort", reason, against_decision=against)


@app.command()
def forget(
    gid: Gid,
    reason: Reason,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, close it: nobody will be told anything any more.")] = False,
    registry: Registry = None,
    gateway: GatewayOption = None,
) -> None:
    """Close the record of a transaction that no participant is in doubt about, and that nobody acknowledges.

    \b
    Example:
      paylab doubt forget p17954917378307452b2309755c57b --yes \\
                   --reason "applied everywhere, the acknowledgement is lost"
    """
    from scenarios.console import BAD_INPUT, stop

    if not yes:
        stop(BAD_INPUT, f"forgetting {gid} means that nobody is told of it any more; add --yes to do it")
    _order(registry, gateway, gid, "forget", reason)


def _order(registry: str | None, gateway: str | None, gid: str, action: str, reason: str, **more: Any) -> None:
    from scenarios import doubt_commands
    from scenarios.console import reported_errors, say

    with reported_errors():
        done = doubt_commands.gateway(registry, gateway).order(gid, action, reason, **more)
        told = done["overruled"] or done["decision"]
        note = "; a heuristic decision: every audit will say so" if done["heuristic"] else ""
        say(f"{gid}: {done['state']}, {told} is what participants are told{note}")
