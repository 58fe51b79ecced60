"""`paylab config ...`: look at and change the settings of a running platform."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from settlement.settings import PROFILES

app = typer.Typer(no_args_is_help=True, help="Look at and change the settings of a running platform.")

Registry = Annotated[
    str | None, typer.Option(metavar="URL", help="The config center; the default is the platform that is up.")
]
Profile = Annotated[str, typer.Option(help=f"One of {', '.join(PROFILES)}.")]
Comment = Annotated[str, typer.Option(help="Why; it is kept with the version.")]


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(metavar="[SETTING]", help="One setting; without it, all that are set.")] = "",
    registry: Registry = None,
    profile: Profile = "dev",
) -> None:
    """The settings in force: what was set, or one with its default.

    \b
    Examples:
      paylab config get
      paylab config get http.timeout_ms
    """
    from scenarios import config_commands

    with _reported():
        version, values = config_commands.config_center(registry, profile).values()
        shown = {"version": version, "values": values} if not name else config_commands.value_of(name, values)
        typer.echo(json.dumps(shown, indent=2))


@app.command("set")
def set_values(
    assignments: Annotated[list[str] | None, typer.Argument(metavar="[SETTING=VALUE]...")] = None,
    unset: Annotated[list[str] | None, typer.Option(metavar="SETTING", help="Back to its default; repeat.")] = None,
    comment: Comment = "",
    registry: Registry = None,
    profile: Profile = "dev",
) -> None:
    """Change some settings; running services follow within two seconds.

    \b
    Examples:
      paylab config set http.timeout_ms=1500 --comment "the bank is slow"
      paylab config set route.canary=order:0.2.0=10%
      paylab config set --unset route.canary
    """
    from scenarios import config_commands
    from scenarios.console import say

    with _reported():
        changes = config_commands.parsed(assignments or [])
        version = config_commands.config_center(registry, profile).change(changes, unset or [], comment)
        say(f"version {version} of {profile} is in force")


@app.command()
def history(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many versions.")] = 20,
    registry: Registry = None,
    profile: Profile = "dev",
) -> None:
    """Who changed the settings, when and why; newest first."""
    from scenarios import config_commands
    from scenarios.console import output

    with _reported():
        output.print(config_commands.history_table(config_commands.config_center(registry, profile).history(limit)))


@app.command()
def rollback(
    version: Annotated[int, typer.Argument(min=0, help="The version whose values shall hold again; 0 has none set.")],
    comment: Comment = "",
    registry: Registry = None,
    profile: Profile = "dev",
) -> None:
    """Put the values of an old version in force again, as a new version."""
    from scenarios import config_commands
    from scenarios.console import say

    with _reported():
        new = config_commands.config_center(registry, profile).roll_back(version, comment)
        say(f"version {new} of {profile} is in force, with the values of version {version}")


@contextmanager
def _reported() -> Iterator[None]:
    from scenarios.config_commands import BadSettings
    from scenarios.console import BAD_INPUT, reported_errors, stop

    with reported_errors():
        try:
            yield
        except BadSettings as error:
            stop(BAD_INPUT, *error.problems)
