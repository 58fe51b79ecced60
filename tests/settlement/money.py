"""What the tests of gateway, payment and their drivers share: shopping, and the judgement of an auditor."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from settlement.chassis.faults import CrashAt

ALICE, BOB = 7, 8
OPENING_MINOR = 10_000_000
# Quick enough for a test, patient enough for two busy cores.
PATIENT = {"gateway.prepare_timeout_ms": 1_500, "gateway.lease_ms": 2_000}
QUICK = {
    **PATIENT,
    "gateway.retry_base_ms": 10,
    "gateway.retry_max_ms": 50,
    "gateway.recovery_interval_ms": 20,
    "payment.orphan_interval_ms": 50,
    "order.orphan_interval_ms": 50,
    "payment.channel_timeout_ms": 500,
    "gateway.risk_timeout_ms": 3_000,
    "order.goods_count": 3,
    "order.stock_per_goods": 100,
}


@dataclass
class Shop:
    """A platform with a few goods, and its customers."""

    cluster: Any
    settings: dict[str, object] = field(default_factory=dict)
    keys: int = 0

    async def open(self, *services: str) -> Shop:
        for service in services or ("channel", "order", "payment", "gateway"):
            await self.start(service)
        return self

    async def start(self, service: str, replica: str | None = None, **settings: object) -> Any:
        return await self.cluster.start(service, replica, settings={**QUICK, **self.settings, **settings})

    async def order(self, user_id: int = ALICE, count: int = 2, method: str = "card") -> dict[str, Any]:
        body = {"items": [{"goods_id": 1, "count": count}], "pay_method": method}
        reply = await self.cluster.http("order").post("/orders", json=body, headers=self.cluster.as_user(user_id))
        assert reply.status_code == 201, reply.text
        made: dict[str, Any] = reply.json()
        return made

    async def pay(
        self,
        order: dict[str, Any],
        method: str = "card",
        *,
        user_id: int = ALICE,
        key: str | None = None,
        gateway: str = "gateway-0",
        **changes: object,
    ) -> httpx.Response:
        body = {"order_no": order["order_no"], "amount_minor": order["total_minor"], "currency": order["currency"]}
        headers = {**self.cluster.as_user(user_id), "Idempotency-Key": key or self.new_key()}
        client = self.cluster.http(gateway)
        answer: httpx.Response = await client.post(
            "/payments", json={**body, "method": method, **changes}, headers=headers
        )
        return answer

    async def refund(
        self, gid: str, amount_minor: int, *, user_id: int = ALICE, key: str | None = None, gateway: str = "gateway-0"
    ) -> httpx.Response:
        headers = {**self.cluster.as_user(user_id), "Idempotency-Key": key or self.new_key()}
        client = self.cluster.http(gateway)
        answer: httpx.Response = await client.post(
            f"/payments/{gid}/refunds", json={"amount_minor": amount_minor}, headers=headers
        )
        return answer

    def new_key(self) -> str:
        self.keys += 1
        return f"key-{self.keys}"

    async def balance(self, user_id: int = ALICE) -> int:
        reply = await self.cluster.http("payment").get("/accounts/me", headers=self.cluster.as_user(user_id))
        assert reply.status_code == 200, reply.text
        return int(reply.json()["available_minor"])

    # ---- the auditor ------------------------------------------------------------------------------------------------

    async def rows(self, service: str, sql: str) -> list[dict[str, Any]]:
        replicas = [r for r in self.cluster._replicas.values() if r.chassis.service == service]
        return [dict(row._mapping) for row in await replicas[0].chassis.database.read(text(sql))]

    async def decisions(self) -> list[dict[str, Any]]:
        return await self.rows("gateway", "SELECT * FROM audit_decisions ORDER BY begun_at_ms")

    async def votes(self, service: str) -> dict[str, dict[str, Any]]:
        return {row["gid"]: row for row in await self.rows(service, "SELECT * FROM audit_votes")}

    async def charges(self) -> dict[str, dict[str, Any]]:
        return {row["out_trade_no"]: row for row in await self.rows("channel", "SELECT * FROM audit_charges")}

    async def settled(self) -> bool:
        """Whether no transaction is on its way any more, here or at a participant."""
        in_doubt = [
            row for s in ("order", "payment") for row in (await self.votes(s)).values() if row["outcome"] is None
        ]
        return not in_doubt and all(row["state"] == "closed" for row in await self.decisions())

    async def settle(self, within_s: float = 10.0) -> None:
        await self.cluster.eventually(lambda: self.settled(), within_s)

    async def audit(self) -> None:
        """Everybody agrees, and money is where the decisions say. Call when settled."""
        for decision in await self.decisions():
            await self._audit_agreement(decision)
        await self._audit_money()

    async def _audit_agreement(self, decision: dict[str, Any]) -> None:
        committed = decision["decision"] == "commit"
        for service in ("order", "payment"):
            vote = (await self.votes(service)).get(decision["gid"])
            if committed:
                assert vote is not None, f"{service} never voted on {decision['gid']}, which committed"
                assert (vote["vote"], vote["outcome"]) == ("yes", "committed"), vote
            elif vote is not None:
                assert vote["outcome"] == "aborted", vote

    async def _audit_money(self) -> None:
        decisions = await self.decisions()
        paid = {row["gid"]: row for row in decisions if row["kind"] == "payment" and row["decision"] == "commit"}
        refunded = {row["payment_gid"] for row in decisions if row["kind"] == "refund" and row["decision"] == "commit"}
        sums = await self.rows(
            "payment", "SELECT currency, layer, SUM(amount_minor) AS s FROM audit_postings GROUP BY 1, 2"
        )
        assert all(row["s"] == 0 for row in sums), sums
        pending = await self.rows("payment", "SELECT account, SUM(amount_minor) AS s FROM audit_postings "
                                       "WHERE layer = 'pending' GROUP BY 1")  # fmt: skip
        assert all(row["s"] == 0 for row in pending), f"holds left behind: {pending}"
        kept = sum(row["amount_minor"] for gid, row in paid.items() if gid not in refunded)
        (merchant,) = await self.rows("payment", "SELECT COALESCE(SUM(amount_minor), 0) AS s FROM audit_postings "
                                           "WHERE layer = 'posted' AND (account LIKE 'merchant:%' "
                                           "OR account = 'income:fees')")  # fmt: skip
        assert merchant["s"] == kept
        await self._audit_channel(paid, refunded)
        await self._audit_orders(paid, refunded)

    async def _audit_channel(self, paid: dict[str, dict[str, Any]], refunded: set[str]) -> None:
        for number, charge in (await self.charges()).items():
            net = charge["captured_minor"] - charge["refunded_minor"]
            expected = paid[number]["amount_minor"] if number in paid and number not in refunded else 0
            assert net == expected, charge
            assert charge["state"] != "authorized", f"an authorization was left behind: {charge}"
        outside = {gid for gid, row in paid.items() if row["method"] != "balance"}
        assert outside <= set(await self.charges()), "paid, but the channel never heard of it"

    async def _audit_orders(self, paid: dict[str, dict[str, Any]], refunded: set[str]) -> None:
        for order in await self.rows("order", "SELECT * FROM audit_orders"):
            gids = [gid for gid, row in paid.items() if row["order_no"] == order["order_no"]]
            assert len(gids) <= 1, f"paid twice: {order}"
            if not gids:
                assert order["status"] in ("pending", "cancelled"), order
            else:
                assert order["status"] == ("refunded" if gids[0] in refunded else "paid"), order
        for stock in await self.rows("order", "SELECT * FROM audit_stock"):
            assert stock["reserved_units"] == 0, stock


def arm(replica: Any, point: str, nth: int = 1) -> None:
    """Let this replica die at the nth hit of a crash point."""
    replica.chassis.faults.replace([CrashAt(id="crash", kind="crash_at", point=point, nth=nth)])


def crashed(replica: Any) -> bool:
    """Whether it came to that."""
    return any(fault["hits"] for fault in replica.chassis.faults.report())


class Pause:
    """Stops one replica's coordinator just before a write, as a SIGSTOP would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, replica: Any, point: str) -> None:
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

        async def passed(name: str) -> None:
            if name == point and not self.reached.is_set():
                self.reached.set()
                await self.go_on.wait()

        monkeypatch.setattr(replica.chassis.crash_points, "passed", passed)
