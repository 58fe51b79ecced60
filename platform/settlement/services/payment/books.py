"""The stored ledger: writes the pure ledger's batches and keeps the customers' balances in step.

Functions act inside the caller's transaction. A customer's account is opened by the first transaction that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, insert, select, update

from settlement.chassis.sql import insert_ignore
from settlement.ledger import GRANTS, hold, source_of, transfer, user_account
from settlement.ledger.accounts import is_user_account
from settlement.ledger.postings import Batch, balanced, capture, void
from settlement.services.payment.model import accounts, postings

if TYPE_CHECKING:
    from settlement.chassis.clock import Clock
    from settlement.chassis.database import Database, Transaction
    from settlement.chassis.live_settings import LiveSettings

_ACCOUNT = select(accounts).where(
    accounts.c.account == bindparam("wanted"), accounts.c.currency == bindparam("wanted_currency")
)
_THIS_ACCOUNT = update(accounts).where(
    accounts.c.account == bindparam("wanted"), accounts.c.currency == bindparam("wanted_currency")
)
# The guard and the hold are one statement: two payments cannot both see enough.
_HOLD = _THIS_ACCOUNT.where(accounts.c.posted_minor - accounts.c.held_minor >= bindparam("held")).values(
    held_minor=accounts.c.held_minor + bindparam("held")
)
_MOVE = _THIS_ACCOUNT.values(
    posted_minor=accounts.c.posted_minor + bindparam("posted"), held_minor=accounts.c.held_minor - bindparam("released")
)
_OPEN = insert_ignore(accounts)
_POST = insert(postings)
_TRIAL_BALANCE = (
    select(postings.c.currency, postings.c.layer, func.sum(postings.c.amount_minor).label("total_minor"))
    .group_by(postings.c.currency, postings.c.layer)
    .order_by(postings.c.currency, postings.c.layer)
)
_BY_ACCOUNT = (
    select(
        postings.c.account,
        postings.c.currency,
        postings.c.layer,
        func.sum(postings.c.amount_minor).label("total_minor"),
    )
    .group_by(postings.c.account, postings.c.currency, postings.c.layer)
    .order_by(postings.c.account, postings.c.currency, postings.c.layer)
)
OPENING_GID = "opening"


class Books:
    """The ledger of the payment service."""

    def __init__(self, database: Database, clock: Clock, settings: LiveSettings) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings

    async def hold(self, tx: Transaction, gid: str, source: str, target: str, currency: str, amount_minor: int) -> bool:
        """Hold money; False, and nothing held, if a customer has too little."""
        if is_user_account(source):
            await self._open(tx, source, currency)
            key = {"wanted": source, "wanted_currency": currency}
            if (await tx.execute(_HOLD, {**key, "held": amount_minor})).rowcount == 0:
                return False
        await self._append(tx, gid, hold(source, target, currency, amount_minor))
        return True

    async def capture(
        self, tx: Transaction, gid: str, source: str, target: str, currency: str, amount_minor: int
    ) -> None:
        """Move what `hold` with the same arguments held."""
        await self._move(tx, source, currency, posted=-amount_minor, released=amount_minor)
        await self._move(tx, target, currency, posted=amount_minor, released=0)
        await self._append(tx, gid, capture(hold(source, target, currency, amount_minor)))

    async def void(self, tx: Transaction, gid: str, source: str, target: str, currency: str, amount_minor: int) -> None:
        """Let go what `hold` with the same arguments held."""
        await self._move(tx, source, currency, posted=0, released=amount_minor)
        await self._append(tx, gid, void(hold(source, target, currency, amount_minor)))

    async def post(self, tx: Transaction, name: str, batch: Batch) -> None:
        """Move money that nobody held, none of it a customer's; `name` stands where the gid does elsewhere."""
        if any(is_user_account(line.account) for line in batch):
            raise ValueError(f"{name} would move a customer's money, of which a balance is kept")
        if batch:
            await self._append(tx, name, batch)

    async def account(self, user_id: int, currency: str) -> dict[str, object]:
        """A customer's balances; opens the account if this is the first time anyone asks."""
        name = user_account(user_id)
        key = {"wanted": name, "wanted_currency": currency}
        rows = await self._database.read(_ACCOUNT, key)
        if not rows:
            await self._database.run(lambda tx: self._open(tx, name, currency))
            rows = await self._database.read(_ACCOUNT, key)
        row = rows[0]
        return {
            "account": name,
            "currency": currency,
            "available_minor": row.posted_minor - row.held_minor,
            "held_minor": row.held_minor,
            "posted_minor": row.posted_minor,
        }

    async def trial_balance(self) -> dict[str, object]:
        """Sums by currency and layer, which must all be zero, and by account."""
        sums = await self._database.read(_TRIAL_BALANCE)
        lines = await self._database.read(_BY_ACCOUNT)
        return {
            "balanced": all(row.total_minor == 0 for row in sums),
            "sums": [dict(row._mapping) for row in sums],
            "accounts": [dict(row._mapping) for row in lines],
        }

    async def _open(self, tx: Transaction, account: str, currency: str) -> None:
        if (await tx.execute(_ACCOUNT, {"wanted": account, "wanted_currency": currency})).one_or_none() is not None:
            return
        granted_minor = self._settings.integer("payment.opening_balance_minor")
        row = {"account": account, "currency": currency, "posted_minor": granted_minor, "held_minor": 0}
        opened = await tx.execute(_OPEN, {**row, "opened_at_ms": self._clock.now_ms()})
        if granted_minor and opened.rowcount == 1:
            await self._append(tx, OPENING_GID, transfer(GRANTS, account, currency, granted_minor))

    async def _move(self, tx: Transaction, account: str, currency: str, *, posted: int, released: int) -> None:
        if is_user_account(account):
            await self._open(tx, account, currency)
            key = {"wanted": account, "wanted_currency": currency}
            await tx.execute(_MOVE, {**key, "posted": posted, "released": released})

    async def _append(self, tx: Transaction, gid: str, batch: Batch) -> None:
        now_ms = self._clock.now_ms()
        await tx.execute(
            _POST,
            [
                {
                    "gid": gid,
                    "account": line.account,
                    "currency": line.currency,
                    "amount_minor": line.amount_minor,
                    "layer": line.layer.value,
                    "posted_at_ms": now_ms,
                }
                for line in balanced(batch)
            ],
        )


def source_and_target(kind: str, method: str, user_id: int, merchant: str) -> tuple[str, str]:
    """Where a transaction's money comes from and goes to; a refund goes the payment's way back."""
    source = source_of(method, user_id)
    return (merchant, source) if kind == "refund" else (source, merchant)
