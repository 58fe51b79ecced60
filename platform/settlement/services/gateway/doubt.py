"""A transaction in doubt as an operator sees it: where each participant stands, and what to do about it.

The votes were only ever in the memory of whoever collected them, so participants are asked where they stand: theirs is
the record that counts. `advice` is pure: the same case, the same words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.chassis.http_client import CallFailed
from settlement.protocol.records import CoordinatorPhase, Decision
from settlement.services.gateway.answers import describe_to_operator
from settlement.services.gateway.journal import participants_of, record_of

if TYPE_CHECKING:
    from sqlalchemy import Row

    from settlement.chassis.http_client import ServiceClient

STANDINGS_TIMEOUT_MS: Final = 1_000
UNREACHABLE: Final = "unreachable"
UNHEARD: Final = "unheard"
PREPARED: Final = "prepared"
APPLIED: Final = {Decision.COMMIT: "committed", Decision.ABORT: "aborted"}


@dataclass(frozen=True, slots=True)
class Party:
    """Where one participant stands: prepared (in doubt), committed, aborted, unheard (it has no record), unreachable.

    `why` is the reason of a no, or of its not being reached. Times are epoch milliseconds.
    """

    name: str
    standing: str
    vote: str | None = None
    why: str = ""
    voted_at_ms: int | None = None
    applied_at_ms: int | None = None
    inquiries: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """A transaction (a row of `transactions`), its parties, and the moment at which they were asked."""

    row: Row[Any]
    parties: tuple[Party, ...]
    now_ms: int

    @property
    def told(self) -> Decision | None:
        """What participants are being told."""
        record = record_of(self.row)
        return record.overruled or record.decision

    def described(self) -> dict[str, Any]:
        """Everything known of it, and the advice."""
        return {
            **describe_to_operator(self.row),
            "age_ms": max(0, self.now_ms - self.row.begun_at_ms),
            "lease_left_ms": self.row.lease_until_ms - self.now_ms,
            "participants": [self._described(party) for party in self.parties],
            "advice": advice(self),
        }

    def _described(self, party: Party) -> dict[str, Any]:
        held = party.standing == PREPARED and party.voted_at_ms is not None
        held_ms = max(0, self.now_ms - (party.voted_at_ms or 0)) if held else None
        return {
            "name": party.name, "standing": party.standing, "vote": party.vote, "why": party.why,
            "voted_at_ms": party.voted_at_ms, "applied_at_ms": party.applied_at_ms, "in_doubt_ms": held_ms,
            "inquiries": party.inquiries,
        }  # fmt: skip


async def examine(client: ServiceClient, rows: Sequence[Row[Any]], now_ms: int) -> list[Case]:
    """Ask the participants of these transactions where they stand: one call to each service, all at once."""
    participants = [[p.name for p in participants_of(row.method, row.kind)] for row in rows]
    services = sorted({name for names in participants for name in names})
    gids = [row.gid for row in rows]
    answers = dict(zip(services, await asyncio.gather(*(_ask(client, name, gids) for name in services)), strict=True))
    return [
        Case(row, tuple(_party(name, row.gid, answers[name]) for name in names), now_ms)
        for row, names in zip(rows, participants, strict=True)
    ]


async def _ask(client: ServiceClient, service: str, gids: Sequence[str]) -> dict[str, Any] | str:
    """The standings by gid; a text is why there are none."""
    try:
        reply = await client.call(
            service, "POST", "/participant/standings", json={"gids": list(gids)}, timeout_ms=STANDINGS_TIMEOUT_MS,
            idempotent=True, must_arrive=True,
        )  # fmt: skip
    except CallFailed as error:
        return str(error)
    if reply.status != 200:
        return f"{service} answered {reply.status}"
    return {standing["gid"]: standing for standing in reply.json["transactions"]}


def _party(name: str, gid: str, answer: dict[str, Any] | str) -> Party:
    if isinstance(answer, str):
        return Party(name, UNREACHABLE, why=answer)
    known = answer.get(gid)
    if known is None:
        return Party(name, UNHEARD)
    return Party(
        name, known["state"], known["vote"], known["reason"], known["voted_at_ms"], known["outcome_at_ms"],
        known["inquiries"],
    )  # fmt: skip


# ---- advice ---------------------------------------------------------------------------------------------------------


def advice(case: Case) -> str:
    """What an operator should do about a transaction, and why."""
    state = CoordinatorPhase(case.row.state)
    if state is CoordinatorPhase.CLOSED:
        return "nothing: it is closed"
    if state is CoordinatorPhase.PREPARING:
        return _while_undecided(case)
    against = [party for party in case.parties if _is_against(party, case.told)]
    if against:
        return _when_contradicted(case, against)
    silent = [party for party in case.parties if party.standing != APPLIED.get(case.told or Decision.ABORT)]
    if not silent:
        return _when_all_applied(case, state)
    return _when_exhausted(case, silent) if state is CoordinatorPhase.EXHAUSTED else _while_delivered(case, silent)


def _while_undecided(case: Case) -> str:
    owner, left_ms = replica_of(case.row.owner), case.row.lease_until_ms - case.now_ms
    if left_ms > 0:
        return f"wait: {owner} is collecting the votes; its lease ends in {_span(left_ms)}, then another replica aborts"
    ended = f"the lease of {owner} ended {_span(-left_ms)} ago"
    return f"wait: {ended}, a gateway takes it over and aborts; if none does, look for `recovery` in the gateways' logs"


def _while_delivered(case: Case, silent: Sequence[Party]) -> str:
    owner, left_ms = replica_of(case.row.owner), case.row.lease_until_ms - case.now_ms
    what = f"{_authority(case)}: {case.told} is being delivered to {_names(silent)}"
    if left_ms > 0:
        return f"wait: {what} (try {case.row.attempts + 1} by {owner})"
    return f"wait: {what}; the lease of {owner} ended {_span(-left_ms)} ago, another gateway goes on with it"


def _when_exhausted(case: Case, silent: Sequence[Party]) -> str:
    since_ms = case.now_ms - (case.row.decided_at_ms or case.row.begun_at_ms)
    cause = "; ".join(_look_at(party) for party in silent)
    what = f"exhausted: {case.told} is not acknowledged by {_names(silent)} for {_span(since_ms)}"
    return f"{what}; {cause}, then `paylab doubt {case.told} {case.row.gid}`"


def _when_all_applied(case: Case, state: CoordinatorPhase) -> str:
    if state is CoordinatorPhase.EXHAUSTED:
        return f"everybody has applied {case.told}: `paylab doubt forget {case.row.gid}` closes the record"
    return f"wait: everybody has applied {case.told}, the record is about to be closed"


def _when_contradicted(case: Case, against: Sequence[Party]) -> str:
    applied = "; ".join(f"{party.name} has {party.standing}" for party in against)
    damage = f"heuristic damage: {applied}, and the order to {case.told} comes too late there"
    if any(party.standing in (PREPARED, UNREACHABLE) for party in case.parties):
        return f"{damage}; wait until nobody is in doubt"
    return f"{damage}; settle the difference by hand, then `paylab doubt forget {case.row.gid}`"


def _authority(case: Case) -> str:
    if case.row.overruled:
        return f"overruled by an operator (the decision was {case.row.decision})"
    if case.row.heuristic:
        return "decided by an operator"
    if case.told is Decision.COMMIT:
        return "all voted yes, decision durable"
    return f"decision durable ({case.row.reason})"


def _look_at(party: Party) -> str:
    if party.standing == UNREACHABLE:
        return f"{party.name} does not answer ({party.why}): bring it back"
    if party.standing == PREPARED:
        return f"{party.name} answers and is in doubt: look for `decision_unresolved` in its log"
    return f"check {party.name} ({party.standing})"


def _is_against(party: Party, told: Decision | None) -> bool:
    return told is not None and party.standing in APPLIED.values() and party.standing != APPLIED[told]


def is_resolved(case: Case) -> bool:
    """Whether nobody is in doubt any more: every participant answers, and none holds anything for it."""
    return all(party.standing not in (PREPARED, UNREACHABLE) for party in case.parties)


def unable_to_commit(case: Case) -> Iterator[Party]:
    """Participants that certainly cannot commit: they said no, never voted, or have aborted."""
    return (party for party in case.parties if party.standing in (UNHEARD, APPLIED[Decision.ABORT]))


def replica_of(owner: str) -> str:
    """The replica in an owner's name: `gateway-1/3fe2` is a life of gateway-1."""
    return owner.partition("/")[0]


def _names(parties: Sequence[Party]) -> str:
    return " and ".join(party.name for party in parties)


def _span(duration_ms: int) -> str:
    """A duration for people: `3 s`, `5 min`, `2 h`."""
    seconds = max(0, round(duration_ms / 1_000))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7_200 else f"{seconds // 3_600} h"
