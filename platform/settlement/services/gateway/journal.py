"""The coordinator's durable records, and the idempotency keys that begin with them.

The key row and the begin record are one local transaction: a key that exists always leads to a transaction, and so to
an answer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from settlement.chassis.coordinator_driver import Claimed, Errand
from settlement.chassis.participant import Payload
from settlement.chassis.sql import insert_ignore
from settlement.chassis.two_phase_metrics import InDoubt
from settlement.protocol.lease import Lease, claim
from settlement.protocol.records import CoordinatorPhase, Decision, Participant, TransactionRecord
from settlement.services.gateway.events import publish
from settlement.services.gateway.model import fenced_writes, idempotency_keys, transactions
from settlement.services.gateway.notifications import enqueue
from settlement.topology import PARTICIPANTS

if TYPE_CHECKING:
    from settlement.chassis.clock import Clock
    from settlement.chassis.database import Database, Transaction
    from settlement.chassis.live_settings import LiveSettings
    from settlement.chassis.outbox import Outbox

UNFINISHED = (CoordinatorPhase.PREPARING.value, CoordinatorPhase.DECIDED.value)
EXHAUSTED = CoordinatorPhase.EXHAUSTED.value

_KEY = select(idempotency_keys).where(
    idempotency_keys.c.user_id == bindparam("wanted_user"),
    idempotency_keys.c.idempotency_key == bindparam("wanted_key"),
)
_DROP_KEY = delete(idempotency_keys).where(
    idempotency_keys.c.user_id == bindparam("wanted_user"),
    idempotency_keys.c.idempotency_key == bindparam("wanted_key"),
)
_KEY_LOCKED = _KEY.with_for_update()
_INSERT_KEY = insert_ignore(idempotency_keys)
_INSERT = insert(transactions)
_BY_GID = select(transactions).where(transactions.c.gid == bindparam("wanted_gid"))
_BY_GID_LOCKED = _BY_GID.with_for_update()
_BY_KEY = (
    select(transactions)
    .where(
        transactions.c.user_id == bindparam("wanted_user"), transactions.c.idempotency_key == bindparam("wanted_key")
    )
    .order_by(transactions.c.begun_at_ms.desc())
    .limit(1)
)
_BY_STATES = (
    select(transactions)
    .where(
        transactions.c.state.in_(bindparam("wanted_states", expanding=True)),
        transactions.c.begun_at_ms <= bindparam("begun_before_ms"),
    )
    .order_by(transactions.c.begun_at_ms)
    .limit(bindparam("rows_max"))
)
_IN_DOUBT = (
    select(
        transactions.c.state,
        func.count().label("transactions"),
        func.min(transactions.c.begun_at_ms).label("oldest_at_ms"),
    )
    .where(transactions.c.state.in_((*UNFINISHED, EXHAUSTED)))
    .group_by(transactions.c.state)
)
# The fence: whoever lost the transaction to a take-over finds another epoch and writes nothing.
_UPDATE = update(transactions).where(
    transactions.c.gid == bindparam("wanted_gid"), transactions.c.epoch == bindparam("held_epoch")
)
_ADVANCE = _UPDATE.values({name: bindparam(f"new_{name}") for name in (
    "state", "decision", "reason", "lease_until_ms", "attempts", "heuristic", "overruled",
)})  # fmt: skip
# A decision is repeated with every retry, but it happened once.
_DECIDE = _ADVANCE.values(decided_at_ms=func.coalesce(transactions.c.decided_at_ms, bindparam("event_at_ms")))
# A transaction that an operator resumes is recorded as decided again; it is news only the first time.
_DECIDE_FIRST = _ADVANCE.where(transactions.c.decided_at_ms.is_(None)).values(decided_at_ms=bindparam("event_at_ms"))
_CLOSE = _ADVANCE.where(transactions.c.decided_at_ms.is_not(None)).values(closed_at_ms=bindparam("event_at_ms"))
# The article's protocol has no decision of its own: how it ended is recorded when it has ended.
_DECIDE_AND_CLOSE = _ADVANCE.where(transactions.c.decided_at_ms.is_(None)).values(
    decided_at_ms=bindparam("event_at_ms"), closed_at_ms=bindparam("event_at_ms")
)
_FENCED = insert(fenced_writes)
_CLAIM = _UPDATE.values(
    epoch=bindparam("new_epoch"), owner=bindparam("new_owner"), lease_until_ms=bindparam("new_lease_until_ms")
)
_LAPSED = (
    select(transactions)
    .where(transactions.c.state.in_(UNFINISHED), transactions.c.lease_until_ms <= bindparam("now_ms"))
    .order_by(transactions.c.lease_until_ms)
    .limit(bindparam("rows_max"))
)
# What another replica is claiming at this moment is its own.
_LAPSED_LOCKED = _LAPSED.with_for_update(skip_locked=True)
_LEFT_BEHIND = (
    select(transactions)
    .where(transactions.c.state.in_(UNFINISHED), transactions.c.owner.startswith(bindparam("prefix"), autoescape=False))
    .limit(bindparam("rows_max"))
    .with_for_update()
)


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked for, beside what the participants are told. Goes into the begin record."""

    idempotency_key: str
    fingerprint: str
    notify_url: str | None = None
    return_url: str | None = None
    note: str | None = None
    risk: str = ""


class KeyTaken(Exception):
    """The idempotency key was used before; `row` is its key row."""

    def __init__(self, row: Row[Any]) -> None:
        super().__init__(row.idempotency_key)
        self.row = row


class GatewayJournal:
    """The gateway's records."""

    def __init__(self, database: Database, clock: Clock, settings: LiveSettings, outbox: Outbox) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._outbox = outbox

    # ---- what the driver needs (see chassis.coordinator_driver.Journal) ---------------------------------------------

    async def insert(
        self, tx: Transaction, record: TransactionRecord, lease: Lease, *, errand: Errand, request: Request
    ) -> None:
        """Store key and begin record. Raises KeyTaken."""
        now_ms = self._clock.now_ms()
        key = {"wanted_user": errand.payload.user_id, "wanted_key": request.idempotency_key}
        taken = (await tx.execute(_KEY_LOCKED, key)).one_or_none()
        if taken is not None:
            if not await self._forgotten(tx, taken, now_ms):
                raise KeyTaken(taken)
            await tx.execute(_DROP_KEY, key)
        payload = errand.payload.model_dump()
        asked = asdict(request)
        fingerprint = asked.pop("fingerprint")
        new_key = {
            "user_id": errand.payload.user_id,
            "idempotency_key": request.idempotency_key,
            "fingerprint": fingerprint,
            "gid": errand.gid,
            "created_at_ms": now_ms,
        }
        if (await tx.execute(_INSERT_KEY, new_key)).rowcount != 1:
            # The same request came twice at once, and the other one was first.
            raise KeyTaken((await tx.execute(_KEY_LOCKED, key)).one())
        row = {**payload, **asked, **_columns(record), "gid": errand.gid, "kind": errand.kind, "begun_at_ms": now_ms}
        await tx.execute(_INSERT, {**row, "owner": lease.owner, "epoch": lease.epoch, "lease_until_ms": lease.until_ms})

    async def update(self, tx: Transaction, record: TransactionRecord, lease: Lease) -> bool:
        """Store a later record; False if the transaction is somebody else's by now."""
        now_ms = self._clock.now_ms()
        changes = {f"new_{name}": value for name, value in _columns(record).items()}
        changes["new_lease_until_ms"] = lease.until_ms
        changes["event_at_ms"] = now_ms
        changes |= {"wanted_gid": record.gid, "held_epoch": lease.epoch}
        # What is usual comes first, so that it is one statement; `decides` finds only what was never decided before.
        if record.phase is CoordinatorPhase.CLOSED:
            usual, decides = _CLOSE, _DECIDE_AND_CLOSE
        elif record.phase is CoordinatorPhase.DECIDED and record.attempts == 0:
            usual, decides = None, _DECIDE_FIRST
        else:
            usual, decides = _DECIDE, None
        if usual is not None and (await tx.execute(usual, changes)).rowcount == 1:
            return True
        if decides is not None and (await tx.execute(decides, changes)).rowcount == 1:
            await self._announce(tx, record.gid, now_ms)
            return True
        stored = usual is None and (await tx.execute(_DECIDE, changes)).rowcount == 1
        if not stored:
            await self._note_fenced(tx, record, lease, now_ms)
        return stored

    async def _note_fenced(self, tx: Transaction, record: TransactionRecord, lease: Lease, now_ms: int) -> None:
        """Write down that somebody who had lost the transaction wanted to go on with it."""
        columns = _columns(record)
        line = {"gid": record.gid, "owner": lease.owner, "epoch": lease.epoch, "fenced_at_ms": now_ms}
        await tx.execute(_FENCED, {**line, "state": columns["state"], "decision": columns["decision"]})

    async def _announce(self, tx: Transaction, gid: str, now_ms: int) -> None:
        """Write down who has to be told of a decision: the merchant, and the rest of the platform."""
        decided = (await tx.execute(_BY_GID, {"wanted_gid": gid})).one()
        await enqueue(tx, decided, now_ms)
        await publish(self._outbox, tx, decided)

    async def has_lapsed(self, now_ms: int) -> bool:
        """Whether there may be anything to claim."""
        return bool(await self._database.read(_LAPSED, {"now_ms": now_ms, "rows_max": 1}))

    async def claim(
        self, tx: Transaction, owner: str, now_ms: int, lease_ms: int, except_gids: Collection[str], limit: int
    ) -> list[Claimed]:
        """Take over what nobody drives: the lease lapsed."""
        rows = await tx.execute(_LAPSED_LOCKED, {"now_ms": now_ms, "rows_max": limit + len(except_gids)})
        lapsed = [row for row in rows if row.gid not in except_gids][:limit]
        return [await self._take(tx, row, claim(_lease_of(row), owner, now_ms, lease_ms)) for row in lapsed]

    async def claim_left_behind(
        self, tx: Transaction, replica: str, owner: str, now_ms: int, lease_ms: int, limit: int
    ) -> list[Claimed]:
        """Take over what an earlier process of this very replica drove: it is dead, so no lease is waited for."""
        prefix = f"{replica}/"
        rows = await tx.execute(_LEFT_BEHIND, {"prefix": prefix, "rows_max": limit})
        # Asked again here: to LIKE, some characters of a name mean any character.
        left = [row for row in rows if row.owner.startswith(prefix) and row.owner != owner]
        return [await self._take(tx, row, _next_lease(row, owner, now_ms, lease_ms)) for row in left]

    async def claim_one(self, tx: Transaction, gid: str, owner: str, now_ms: int, lease_ms: int) -> Claimed | None:
        """Take over one transaction whoever drives it."""
        row = (await tx.execute(_BY_GID_LOCKED, {"wanted_gid": gid})).one_or_none()
        return None if row is None else await self._take(tx, row, _next_lease(row, owner, now_ms, lease_ms))

    # ---- what the API needs -----------------------------------------------------------------------------------------

    async def find(self, gid: str) -> Row[Any] | None:
        """A transaction as last committed."""
        return next(iter(await self._database.read(_BY_GID, {"wanted_gid": gid})), None)

    async def certain(self, row: Row[Any]) -> None:
        """Return when what the row says is durable; a closed record is long durable."""
        if row.state == CoordinatorPhase.DECIDED:
            await self._database.durable()

    async def find_key(self, user_id: int, key: str) -> Row[Any] | None:
        """The key row, unless the key is past its time; then `insert` will judge it."""
        row = next(iter(await self._database.read(_KEY, {"wanted_user": user_id, "wanted_key": key})), None)
        return row if row is not None and not self._past_its_time(row, self._clock.now_ms()) else None

    async def find_by_key(self, user_id: int, key: str) -> Row[Any] | None:
        """The transaction that this user last began with this key."""
        return next(iter(await self._database.read(_BY_KEY, {"wanted_user": user_id, "wanted_key": key})), None)

    async def in_states(self, states: Collection[str], begun_before_ms: int, limit: int) -> list[Row[Any]]:
        """Transactions in one of these states, oldest first."""
        asked = {"wanted_states": list(states), "begun_before_ms": begun_before_ms, "rows_max": limit}
        return list(await self._database.read(_BY_STATES, asked))

    async def in_doubt(self) -> InDoubt:
        """What is begun and not closed, and what waits for an operator, whoever drives it."""
        rows = {row.state: row for row in await self._database.read(_IN_DOUBT)}
        open_ = [rows[state] for state in UNFINISHED if state in rows]
        exhausted = rows[EXHAUSTED].transactions if EXHAUSTED in rows else 0
        oldest_at_ms = min((row.oldest_at_ms for row in open_), default=None)
        return InDoubt(sum(row.transactions for row in open_), oldest_at_ms, exhausted)

    async def _forgotten(self, tx: Transaction, key: Row[Any], now_ms: int) -> bool:
        """Whether a key is past its time; never while its transaction is unfinished."""
        if not self._past_its_time(key, now_ms):
            return False
        row = (await tx.execute(_BY_GID, {"wanted_gid": key.gid})).one_or_none()
        return row is None or row.state == CoordinatorPhase.CLOSED

    def _past_its_time(self, key: Row[Any], now_ms: int) -> bool:
        return bool(now_ms - key.created_at_ms >= 1_000 * self._settings.integer("gateway.idempotency_ttl_s"))

    async def _take(self, tx: Transaction, row: Row[Any], lease: Lease) -> Claimed:
        changes = {"new_epoch": lease.epoch, "new_owner": lease.owner, "new_lease_until_ms": lease.until_ms}
        await tx.execute(_CLAIM, {"wanted_gid": row.gid, "held_epoch": row.epoch, **changes})
        payload = Payload.model_validate({name: row._mapping[name] for name in Payload.model_fields})
        return Claimed(Errand(row.gid, row.kind, payload), record_of(row, lease.epoch), lease)


def record_of(row: Row[Any], epoch: int | None = None) -> TransactionRecord:
    """The coordinator's record that a row holds."""
    return TransactionRecord(
        gid=row.gid,
        phase=CoordinatorPhase(row.state),
        participants=participants_of(row.method, row.kind),
        epoch=row.epoch if epoch is None else epoch,
        decision=Decision(row.decision) if row.decision else None,
        reason=row.reason,
        attempts=row.attempts,
        heuristic=bool(row.heuristic),
        overruled=Decision(row.overruled) if row.overruled else None,
    )


def participants_of(method: str, kind: str) -> tuple[Participant, ...]:
    """Who takes part. A wallet cannot hold without charging, so it is asked after the others' yes."""
    charges_at_once = kind == "payment" and method == "wallet"
    return tuple(Participant(name, asked_last=charges_at_once and name == "payment") for name in PARTICIPANTS)


def _columns(record: TransactionRecord) -> dict[str, Any]:
    return {
        "state": record.phase.value,
        "decision": None if record.decision is None else record.decision.value,
        "reason": record.reason[:64],
        "attempts": record.attempts,
        "heuristic": record.heuristic,
        "overruled": None if record.overruled is None else record.overruled.value,
    }


def _lease_of(row: Row[Any]) -> Lease:
    return Lease(row.owner, row.epoch, row.lease_until_ms)


def _next_lease(row: Row[Any], owner: str, now_ms: int, lease_ms: int) -> Lease:
    return Lease(owner, row.epoch + 1, now_ms + lease_ms)
