"""A platform of real services in this process in which replicas die: at once, with all that they had not written.

`Cluster` (tests/settlement) runs the applications on SQLite files and carries their calls. Here a replica that dies is
cut off in the same moment: no statement, no call and no answer of it gets out any more, as if its process were gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from settlement.chassis.clock import Clock
from settlement.chassis.faults import CrashAt, Fault
from settlement.chassis.transport import Answer, NotSent, Unknown
from tests.settlement.conftest import Cluster, Crashed, FakeNetwork, Loss

LEASE_MS: Final = 2_000
SETTINGS: Final[dict[str, object]] = {
    "gateway.prepare_timeout_ms": 800,
    "gateway.lease_ms": LEASE_MS,
    "gateway.retry_base_ms": 10,
    "gateway.retry_max_ms": 40,
    "gateway.recovery_interval_ms": 20,
    "gateway.admission_mode": "off",
    "payment.orphan_interval_ms": 60,
    "order.orphan_interval_ms": 60,
    "payment.channel_timeout_ms": 300,
    "order.goods_count": 3,
    # One round must not make the next one's calls wait: neither breakers nor budgets are what is tried here.
    "http.breaker_failure_share": 0.0,
    "http.retry_budget_share": 1.0,
    "http.timeout_ms": 500,
}
REPLICAS: Final = ("audit-0", "channel-0", "order-0", "payment-0", "gateway-0", "gateway-1")


class _Wires(FakeNetwork):
    """A network in which connections to somebody who dies are reset, and that tells what it loses."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say
        self._deaths: dict[str, asyncio.Event] = {}
        self.slow_service, self.slow_s = "", 0.0

    def attach(self, address: str, app: Any) -> None:
        super().attach(address, app)
        self._deaths[address] = asyncio.Event()

    def detach(self, address: str) -> None:
        super().detach(address)
        self._deaths[address].set()

    async def send(
        self, address: str, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Answer:
        died = self._deaths.get(address, asyncio.Event())
        call = asyncio.ensure_future(super().send(address, method, path, body, headers, timeout_s))
        death = asyncio.ensure_future(died.wait())
        await asyncio.wait({call, death}, return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        if died.is_set() and not (call.done() and isinstance(call.exception(), NotSent)):
            call.cancel()
            raise Unknown(f"{address} died")
        if self.slow_service and address.startswith(f"http://{self.slow_service}-") and path == "/participant/prepare":
            await asyncio.sleep(self.slow_s)  # it has voted, and its vote is under way
        return await call

    def heal(self) -> None:
        super().heal()
        self.slow_service = ""

    def _loss(self, address: str, path: str) -> Loss | None:
        loss = super()._loss(address, path)
        if loss is not None:
            what = "executed, and the answer is lost" if loss.executed else "refused"
            self._say(f"network: a call of {address.removeprefix('http://')} {path} is {what}")
        return loss


class _Ahead:
    """A clock that is ahead of another one."""

    def __init__(self, clock: Clock, ahead_ms: int) -> None:
        self._clock, self._ahead_ms = clock, ahead_ms

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._ahead_ms

    def monotonic_ms(self) -> float:
        return self._clock.monotonic_ms()


class _Dead:
    """In place of what a dead replica could still do."""

    async def send(self, *_: Any) -> Answer:
        raise NotSent("whoever calls is dead")

    async def close(self) -> None:
        """There is nothing to close."""

    def transaction(self, **_: Any) -> Any:
        raise ConnectionError("whoever writes is dead")


class House(Cluster):
    """Two gateways, an order, a payment and an audit service, and the channel."""

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self.say: Callable[[str], None] = lambda _: None
        self.network = _Wires(lambda what: self.say(what))
        self._caller._transport = self.network
        self.data = data
        self.died: list[str] = []

    async def open(self) -> None:
        """Start everybody."""
        for name in REPLICAS:
            await self.start_again(name)

    async def start_again(self, name: str) -> None:
        """Start a replica, with what its service has written."""
        await self.start(name.rpartition("-")[0], name, SETTINGS)

    async def bury(self, name: str) -> None:
        """Clear away what is left of a dead replica."""
        self.died.remove(name)
        await self.kill(name)

    def arm(self, name: str, *faults: Fault) -> None:
        """The faults of one replica from now on."""
        self.replica(name).chassis.faults.replace(list(faults))

    def arm_crash(self, name: str, point: str) -> None:
        """Let this replica die when it next passes a crash point."""
        self.arm(name, CrashAt(id=f"crash {name} {point}", kind="crash_at", point=point))

    def set_ahead(self, name: str, ahead_ms: int) -> None:
        """Let the clock by which a replica judges leases be ahead of the others'; 0: as it was."""
        self.replica(name).chassis.clock = _Ahead(self.clock, ahead_ms) if ahead_ms else self.clock

    def _die(self, name: str) -> None:
        if name not in self.died:
            self.died.append(name)
            self._cut_off(name)
        raise Crashed(name)

    def _cut_off(self, name: str) -> None:
        self._leave(name)
        chassis = self.replica(name).chassis
        chassis.database.transaction = _Dead().transaction  # type: ignore[method-assign]
        chassis.client._transport = _Dead()
        for task in list(chassis.workers._tasks):
            if task is not asyncio.current_task():
                task.cancel()
