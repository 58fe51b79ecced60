"""`paylab doubt`: transactions in doubt of a platform that is up, through one of its gateways.

Any gateway will do: what it shows is read from the database that all of them share, and from the participants. It is
found through the registry, as everybody finds everybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from scenarios.config_commands import config_center, someone
from scenarios.errors import LabError
from scenarios.units import parse_duration_s
from scenarios.worlds.wire import Reply, Unreachable, call

TIMEOUT_S = 5.0
GATEWAY = "gateway"
PREPARED, UNREACHABLE, UNHEARD = "prepared", "unreachable", "unheard"
WORDS = {UNHEARD: "never heard of it", UNREACHABLE: "does not answer"}


class DoubtRefused(LabError):
    """The gateway did not do what was asked; the text says why."""


@dataclass(frozen=True)
class Gateway:
    """A gateway of a platform that is up, as its operator."""

    address: str
    token: str

    def transactions(self, state: str, older_than_ms: int) -> list[dict[str, Any]]:
        """What is in doubt, oldest first, with participants and advice. Raises DoubtRefused."""
        query = f"?state={state}&older_than_ms={older_than_ms}"
        found: list[dict[str, Any]] = self._asked("GET", query).body["transactions"]
        return found

    def transaction(self, gid: str) -> dict[str, Any]:
        """One transaction with what operators did to it. Raises DoubtRefused."""
        found: dict[str, Any] = self._asked("GET", f"/{gid}").body
        return found

    def order(self, gid: str, action: str, reason: str, **more: bool) -> dict[str, Any]:
        """Commit, abort or forget it, in this user's name; returns how it stands. Raises DoubtRefused."""
        body = {"operator": someone(), "reason": reason, **more}
        done: dict[str, Any] = self._asked("POST", f"/{gid}/{action}", body).body
        return done

    def _asked(self, method: str, path: str, body: object = None) -> Reply:
        url = f"{self.address.rstrip('/')}/operator/transactions{path}"
        headers = {"Paylab-Operator-Token": self.token}
        try:
            reply = call(method, url, body=body, headers=headers, timeout_s=TIMEOUT_S)
        except Unreachable as error:
            raise DoubtRefused(f"no gateway answers at {self.address}: {error}") from error
        if reply.status != 200:
            raise _refusal(reply)
        return reply


def _refusal(reply: Reply) -> DoubtRefused:
    document = reply.body if isinstance(reply.body, dict) else {}
    if reply.status == 401:
        return DoubtRefused("the gateway wants the operator's token: set PAYLAB_OPERATOR_TOKEN")
    said = ": ".join(str(document[part]) for part in ("title", "detail") if document.get(part))
    if document.get("code") == "contradicts_decision":
        return DoubtRefused(f"{said}; --against-decision insists, and does damage")
    return DoubtRefused(said or f"the gateway answered {reply.status}")


def gateway(registry: str | None, address: str | None) -> Gateway:
    """The gateway asked for, or the first that answers of those registered. Raises DoubtRefused, ConfigRefused."""
    center = config_center(registry, "dev") if registry is not None or address is None else None
    if address is not None:
        return Gateway(address, center.token if center else config_center(address, "dev").token)
    assert center is not None  # noqa: S101 - narrows the type
    known = _registered(center.registry)
    for each in known:
        if _answers(each):
            return Gateway(each, center.token)
    where = f"none of {', '.join(known)} answers from here; name one by --gateway" if known else "none is registered"
    raise DoubtRefused(f"the registry at {center.registry} knows no gateway that answers: {where}")


def _registered(registry: str) -> list[str]:
    try:
        services = call("GET", f"{registry.rstrip('/')}/registry", timeout_s=TIMEOUT_S).body["services"]
    except (Unreachable, KeyError, TypeError) as error:
        raise DoubtRefused(f"no registry answers at {registry}") from error
    return [each["address"] for each in services.get(GATEWAY, [])]


def _answers(address: str) -> bool:
    try:
        return call("GET", f"{address}/health/live").status == 200
    except Unreachable:
        return False


def milliseconds(text: str) -> int:
    """A duration like `1s` or `500ms`. Raises DoubtRefused."""
    try:
        return round(parse_duration_s(text) * 1_000)
    except ValueError as error:
        raise DoubtRefused(f"--older: {error}") from error


def doubt_table(transactions: Sequence[Mapping[str, Any]]) -> Table:
    """Who is in doubt about what, since when, and who drives it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    for name in ("transaction", "age", "state", "driver", "participants"):
        table.add_column(name, no_wrap=name == "transaction", ratio=1 if name == "participants" else None)
    for row in transactions:
        table.add_row(f"{row['gid']}\n{row['kind']}", span(row["age_ms"]), _state(row), _driver(row), _parties(row))
    return table


def _state(row: Mapping[str, Any]) -> str:
    lines = [row["state"], row["decision"] or "undecided"]
    if row["overruled"]:
        lines.append(f"overruled: {row['overruled']}")
    return "\n".join(lines)


def _driver(row: Mapping[str, Any]) -> str:
    owner = row["owner"].partition("/")[0]
    left = row["lease_left_ms"]
    lease = f"lease {span(left)}" if left > 0 else f"lapsed {span(-left)} ago"
    return f"{owner}, epoch {row['epoch']}\n{row['attempts']} retries\n{lease}"


def _parties(row: Mapping[str, Any]) -> str:
    return "\n".join(_party(party) for party in row["participants"])


def _party(party: Mapping[str, Any]) -> str:
    standing = WORDS.get(party["standing"], party["standing"])
    voted = f"voted {party['vote']}, " if party["vote"] else ""
    if party["standing"] == PREPARED:
        asked = f", asked {party['inquiries']}x" if party["inquiries"] else ""
        return f"{party['name']}: {voted}in doubt for {span(party['in_doubt_ms'])}{asked}"
    return f"{party['name']}: {voted}{standing}"


def span(duration_ms: int) -> str:
    """A duration for people: `3 s`, `5 min`, `2 h`."""
    seconds = round(duration_ms / 1_000)
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7_200 else f"{seconds // 3_600} h"
