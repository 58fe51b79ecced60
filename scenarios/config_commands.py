"""`paylab config`: the settings of a platform that is up, through its config center.

A change is made to the version that was read and only if that is still in force, so that two people at once cannot
undo each other's work without noticing.
"""

import getpass
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from scenarios.compose_commands import composed
from scenarios.errors import LabError
from scenarios.spec.overrides import UnusableOverride, yaml_value
from scenarios.state import read_state
from scenarios.worlds.wire import Reply, Unreachable, call
from settlement.settings import SETTINGS

TOKEN_VARIABLE = "PAYLAB_OPERATOR_TOKEN"  # noqa: S105 - the name of a variable
TIMEOUT_S = 5.0


class ConfigRefused(LabError):
    """The config center did not do what was asked; the text says why."""


class BadSettings(Exception):
    """What was asked for cannot be; `problems` has one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class ConfigCenter:
    """One profile of one platform's config center."""

    registry: str
    profile: str
    token: str

    def values(self) -> tuple[int, dict[str, Any]]:
        """Version and values in force; what is not among them has its default."""
        document = self._asked("GET", "").body
        return document["version"], document["values"]

    def change(self, changes: Mapping[str, Any], unset: Sequence[str], comment: str) -> int:
        """Write a version with some values changed and some back at their defaults; returns it."""
        version, values = self.values()
        left = {name: value for name, value in {**values, **changes}.items() if name not in unset}
        body = {"values": left, "author": someone(), "comment": comment}
        return int(self._asked("PUT", "", body, version).body["version"])

    def roll_back(self, version: int, comment: str) -> int:
        """Put the values of an old version in force again, as a new version; returns it."""
        body = {"version": version, "author": someone(), "comment": comment}
        return int(self._asked("POST", "/rollback", body).body["version"])

    def history(self, limit: int) -> list[dict[str, Any]]:
        """The last versions, newest first."""
        versions: list[dict[str, Any]] = self._asked("GET", f"/history?limit={limit}").body["versions"]
        return versions

    def _asked(self, method: str, path: str, body: object = None, based_on: int | None = None) -> Reply:
        headers = {"Paylab-Operator-Token": self.token} if method != "GET" else {}
        if based_on is not None:
            headers["If-Match"] = f'"{based_on}"'
        url = f"{self.registry.rstrip('/')}/config/{self.profile}{path}"
        try:
            reply = call(method, url, body=body, headers=headers, timeout_s=TIMEOUT_S)
        except Unreachable as error:
            raise ConfigRefused(f"no config center answers at {self.registry}: {error}") from error
        if reply.status != 200:
            raise _refusal(reply)
        return reply


def _refusal(reply: Reply) -> Exception:
    document = reply.body if isinstance(reply.body, dict) else {}
    detail = document.get("detail") or document.get("title")
    if reply.status == 422 and document.get("code") == "invalid_settings":
        return BadSettings(document["errors"])
    if reply.status == 401:
        return ConfigRefused(f"the config center wants the operator's token: set {TOKEN_VARIABLE}")
    if reply.status == 412:
        return ConfigRefused(f"somebody else changed the settings meanwhile ({detail}); nothing is done")
    return ConfigRefused(f"the config center answered {reply.status}: {detail}")


def config_center(registry: str | None, profile: str) -> ConfigCenter:
    """The config center asked for, or the one of the platform that is up. Raises ConfigRefused."""
    known, token = _platform_that_is_up() or ("", "")
    if registry is None and not known:
        raise ConfigRefused("no platform is up; start one with `paylab up`, or name one by --registry")
    address = registry or known
    ours = token if known.rstrip("/") == address.rstrip("/") else ""  # a token is for nobody but its own platform
    return ConfigCenter(address, profile, os.environ.get(TOKEN_VARIABLE) or ours)


def _platform_that_is_up() -> tuple[str, str] | None:
    """Registry and operator's token: of the processes that `paylab up` keeps, else of the containers of `make up`."""
    state = read_state()
    return (state.registry, state.operator_token) if state is not None else composed()


def parsed(assignments: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE` texts as values. Raises BadSettings with all problems."""
    values, problems = {}, []
    for text in assignments:
        name, equals, value = text.partition("=")
        try:
            if not equals or not name:
                raise UnusableOverride(f"{text!r} is not of the form SETTING=VALUE")
            values[name] = yaml_value(value)
        except UnusableOverride as error:
            problems.append(str(error))
    if problems:
        raise BadSettings(problems)
    return values


def value_of(name: str, values: Mapping[str, Any]) -> Any:
    """The value in force of one setting. Raises BadSettings if there is no such setting."""
    if name not in SETTINGS:
        raise BadSettings([f"{name}: unknown setting"])
    return values.get(name, SETTINGS[name].default)


def history_table(versions: Sequence[Mapping[str, Any]]) -> Table:
    """Version, time, author and comment of each."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("version", justify="right", no_wrap=True)
    table.add_column("written (UTC)", no_wrap=True)
    table.add_column("by", no_wrap=True)
    table.add_column("comment", ratio=1)
    for entry in versions:
        written = datetime.fromtimestamp(entry["created_at_ms"] / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(str(entry["version"]), written, entry["author"], entry["comment"])
    return table


def someone() -> str:
    """Who is at work here, for the record."""
    try:
        return getpass.getuser()[:64]
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "operator"
