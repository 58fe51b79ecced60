"""The rules: changed by operators, versioned, and known by heart at every replica.

A replica keeps the rules in memory and looks for changes every `risk.rules_refresh_ms`, so that an assessment needs no
query for them. A change is in force at once where it was made, and within that interval everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from settlement.chassis.problems import Problem
from settlement.services.risk.judging import RuleInForce
from settlement.services.risk.model import rule_versions, rules
from settlement.services.risk.schemas import Rule, RuleDocument, RuleView

if TYPE_CHECKING:
    from settlement.chassis.clock import Clock
    from settlement.chassis.database import Database, Transaction

RULES_MAX = 500
VERSIONS_SHOWN_MAX = 200

_ALL = select(rules).order_by(rules.c.name)
_COUNT = select(func.count()).select_from(rules)
_ONE = select(rules).where(rules.c.name == bindparam("wanted"))
_LOCKED = _ONE.with_for_update()
_NEWEST = select(func.max(rule_versions.c.change_id))
_LATEST_VERSION = select(func.max(rule_versions.c.version)).where(rule_versions.c.name == bindparam("wanted"))
_HISTORY = (
    select(rule_versions)
    .where(rule_versions.c.name == bindparam("wanted"))
    .order_by(rule_versions.c.version.desc())
    .limit(VERSIONS_SHOWN_MAX)
)
_INSERT = insert(rules)
_INSERT_VERSION = insert(rule_versions)
_UPDATE = (
    update(rules)
    .where(rules.c.name == bindparam("wanted"))
    .values(version=bindparam("next_version"), document=bindparam("text"), changed_at_ms=bindparam("now_ms"))
)
_DELETE = delete(rules).where(rules.c.name == bindparam("wanted"))

Change = Literal["created", "changed", "deleted"]


class RuleBook:
    """The rules of all operators, as one replica knows them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._newest_change: int | None = None
        self.in_force: tuple[RuleInForce, ...] = ()

    async def refresh(self) -> None:
        """Take over what other replicas changed."""
        # The number before the rules: a change that comes between is loaded now and noticed again, never missed.
        newest = (await self._database.read(_NEWEST))[0][0] or 0
        if newest == self._newest_change:
            return
        known = [_in_force(row) for row in await self._database.read(_ALL)]
        self.in_force = tuple(rule for rule in known if rule.rule.enabled)
        self._newest_change = newest

    async def all(self) -> list[RuleView]:
        """Every rule, also those that are switched off."""
        return [_view(row) for row in await self._database.read(_ALL)]

    async def find(self, name: str) -> RuleView:
        """One rule. Raises Problem 404."""
        rows = await self._database.read(_ONE, {"wanted": name})
        if not rows:
            raise _no_such_rule(name)
        return _view(rows[0])

    async def history(self, name: str) -> list[RuleView]:
        """All versions of a rule, also of a deleted one, newest first. Raises Problem 404."""
        rows = await self._database.read(_HISTORY, {"wanted": name})
        if not rows:
            raise _no_such_rule(name)
        return [_view(row, row.change) for row in rows]

    async def create(self, name: str, rule: Rule) -> RuleView:
        """Put a new rule in force. Raises Problem 409 `rule_exists | too_many_rules`."""
        text = _text(rule)

        async def body(tx: Transaction) -> RuleView:
            if (await tx.execute(_COUNT)).scalar_one() >= RULES_MAX:
                raise Problem(409, "too_many_rules", "Too many rules", f"at most {RULES_MAX}")
            version = ((await tx.execute(_LATEST_VERSION, {"wanted": name})).scalar_one() or 0) + 1
            row = {"name": name, "version": version, "document": text, "changed_at_ms": self._clock.now_ms()}
            await tx.execute(_INSERT, row)
            return await self._written(tx, row, "created")

        try:
            made = await self._database.run(body)
        except IntegrityError as error:
            raise Problem(409, "rule_exists", "There is such a rule already", name) from error
        await self.refresh()
        return made

    async def change(self, name: str, version: int, rule: Rule) -> RuleView:
        """Replace `version` of a rule. Raises Problem 404, 409 `rule_changed` if it is not the version in force."""
        text = _text(rule)

        async def body(tx: Transaction) -> RuleView:
            known = await self._locked(tx, name, version)
            row = {"name": name, "version": known.version + 1, "document": text, "changed_at_ms": self._clock.now_ms()}
            change = {"next_version": row["version"], "text": text, "now_ms": row["changed_at_ms"]}
            await tx.execute(_UPDATE, {"wanted": name, **change})
            return await self._written(tx, row, "changed")

        changed = await self._database.run(body)
        await self.refresh()
        return changed

    async def delete(self, name: str, version: int) -> None:
        """Remove `version` of a rule; its history stays. Raises like `change`."""

        async def body(tx: Transaction) -> None:
            known = await self._locked(tx, name, version)
            await tx.execute(_DELETE, {"wanted": name})
            row = {"name": name, "version": known.version + 1, "document": known.document}
            await self._written(tx, {**row, "changed_at_ms": self._clock.now_ms()}, "deleted")

        await self._database.run(body)
        await self.refresh()

    async def _locked(self, tx: Transaction, name: str, version: int) -> Row[Any]:
        known = (await tx.execute(_LOCKED, {"wanted": name})).one_or_none()
        if known is None:
            raise _no_such_rule(name)
        if known.version != version:
            detail = f"version {known.version} is in force, not {version}"
            raise Problem(409, "rule_changed", "Somebody else changed the rule", detail)
        return known

    async def _written(self, tx: Transaction, row: dict[str, Any], change: Change) -> RuleView:
        await tx.execute(_INSERT_VERSION, {**row, "change": change})
        document = RuleDocument.model_validate_json(row["document"])
        return RuleView(
            name=row["name"], version=row["version"], rule=document.root, changed_at_ms=row["changed_at_ms"]
        )


def _text(rule: Rule) -> str:
    return RuleDocument(rule).model_dump_json()


def _in_force(row: Row[Any]) -> RuleInForce:
    return RuleInForce(row.name, row.version, RuleDocument.model_validate_json(row.document).root)


def _view(row: Row[Any], change: Change | None = None) -> RuleView:
    rule = RuleDocument.model_validate_json(row.document).root
    return RuleView(name=row.name, version=row.version, rule=rule, changed_at_ms=row.changed_at_ms, change=change)


def _no_such_rule(name: str) -> Problem:
    return Problem(404, "rule_not_found", "No such rule", name)
