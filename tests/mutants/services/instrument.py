"""The fifth instrument: the services' own code, in this process, through a storm of rounds."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import structlog

from scenarios.history import History
from scenarios.mutants.attack import Attack
from settlement.chassis.telemetry import configure_logging
from tests.settlement.patient_loop import PatientLoop

from .auditor import IN_DOUBT, OPEN, UNTOLD, Wrong, history_of, trouble_row, wrong
from .customer import Customer, Operation
from .house import LEASE_MS, REPLICAS, House
from .rounds import Kind, Round, Trouble, Wish, storm
from .story import Line, Told, lines_of

SETTLE_S_MAX: Final = 4.0
AWAY_S: Final = 0.03
POLL_S: Final = 0.005
QUIET_S: Final = 0.03
"""What was settled and is not so long later had not settled."""
SLOW_S: Final = 0.15
REFUSED_TIMES: Final = 6
JUDGED_TOGETHER: Final = 6
"""Rounds between two judgements: reading everything costs more than playing a round."""


def services(seed: int, _traced: bool) -> Attack:
    """Real services on SQLite: crashes at every step, lost and refused calls, zombies, requests sent twice."""
    with (
        _silence(),
        tempfile.TemporaryDirectory(prefix="paylab-mutants-") as folder,
        asyncio.Runner(loop_factory=PatientLoop) as runner,
    ):
        runner.get_loop().set_exception_handler(lambda *_: None)  # the dead leave tasks behind that nobody asks
        return runner.run(_stormed(Path(folder), storm(seed)))


@contextmanager
def _silence() -> Iterator[None]:
    """What goes wrong here does so on purpose: nobody wants to read of it."""
    before = structlog.get_config()
    configure_logging("CRITICAL")
    try:
        yield
    finally:
        structlog.configure(**before)


async def _stormed(folder: Path, rounds: list[Round]) -> Attack:
    house = House(folder)
    try:
        await house.open()
        return await _Storm(house).play(rounds)
    finally:
        for name in list(house.died):
            await house.bury(name)
        await house.close()


class _Storm:
    """Plays rounds on one house, and has each judged before the next one begins."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._began_ms = house.clock.now_ms()
        self._operations: list[Operation] = []
        self._troubles: list[dict[str, Any]] = []
        self._told: list[Line] = []
        self._round_ms = self._began_ms
        house.say = self._say

    async def play(self, rounds: list[Round]) -> Attack:
        played: dict[int, Told] = {}
        for each in rounds:
            settled = await self._round(each)
            played[each.number] = Told(each, self._round_ms, tuple(self._told))
            if settled and each.number % JUDGED_TOGETHER and each is not rounds[-1]:
                continue
            history = self._history()
            found = wrong(history)
            if found.what:
                return self._killed(found, self._guilty(found, played), history)
            played.clear()
        return Attack("services", "", len(rounds), "rounds")

    def _history(self) -> History:
        return history_of(self._house, self._began_ms, self._operations, self._troubles)

    def _killed(self, found: Wrong, guilty: list[Told], history: History) -> Attack:
        keys = {told.round.number: self._keys(told.round.number) for told in guilty}
        lines = [(told, lines_of(told, keys[told.round.number], history, self._began_ms)) for told in guilty]
        trace = [text for told, own in lines for text in (str(told.round), *own)]
        steps, last = sum(len(own) for _, own in lines), guilty[-1].round.number
        return Attack("services", found.what, last, "rounds", trace=(*trace, f"judgement: {found.what}"), steps=steps)

    def _keys(self, number: int) -> set[str]:
        return {operation.key for operation in self._operations if operation.round == number}

    def _guilty(self, found: Wrong, played: dict[int, Told]) -> list[Told]:
        """The first round that the evidence names, or all that were judged together."""
        named = [
            operation.round
            for operation in self._operations
            if operation.round in played and found.names(operation.key, operation.order_no, operation.gid)
        ]
        return [played[number] for number in named[:1] or played]

    async def _round(self, each: Round) -> bool:
        """Play a round; whether all was settled at its end."""
        self._told.clear()
        self._round_ms = self._house.clock.now_ms()
        customer = Customer(self._house, each.number, self._say)
        keeper = asyncio.create_task(self._raise_the_dead(each.trouble))
        try:
            await self._shop(customer, each)
            settled = await self._settle(each.trouble)
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        await self._end(each)
        self._operations += customer.operations
        return settled

    async def _shop(self, customer: Customer, each: Round) -> None:
        order = await customer.orders(each.method)
        if not each.trouble.late:
            self._cause(each.trouble)
        paid = await customer.pays(order, each.method, 2 if each.wish is Wish.TWICE else 1)
        if paid.outcome == "ok" and each.wish in (Wish.REFUNDS, Wish.REFUNDS_TWICE):
            if each.trouble.late:
                self._cause(each.trouble)
            await customer.refunds(paid, order, 2 if each.wish is Wish.REFUNDS_TWICE else 1)

    # ---- what goes wrong --------------------------------------------------------------------------------------------

    def _cause(self, trouble: Trouble) -> None:
        house = self._house
        if trouble.also is not None:
            house.network.refuse(*trouble.also, times=REFUSED_TIMES)
        match trouble.kind:
            case Kind.CRASH:
                house.arm_crash(trouble.where, trouble.what)
            case Kind.LOST:
                house.network.lose_reply(trouble.where, trouble.what)
            case Kind.REFUSED:
                house.network.refuse(trouble.where, trouble.what)
            case Kind.ZOMBIE:
                house.network.slow_service, house.network.slow_s = trouble.where, SLOW_S
                asyncio.get_running_loop().call_later(SLOW_S / 3, self._usurp)

    def _usurp(self) -> None:
        self._say("gateway-1: its clock says that all leases are over")
        self._house.set_ahead("gateway-1", LEASE_MS + 1)

    def _let_leases_lapse(self) -> None:
        self._say("time: more passes than any lease lasts")
        self._house.clock.advance_ms(LEASE_MS + 1)

    async def _raise_the_dead(self, trouble: Trouble) -> None:
        """Bring back who died; whoever stays away is missed for longer than his leases last."""
        mourned: set[str] = set()
        while True:
            for name in [name for name in self._house.died if name not in mourned]:
                self._say(f"{name}: dies at {trouble.what}")
                await asyncio.sleep(AWAY_S)
                if trouble.stays:
                    mourned.add(name)
                    self._let_leases_lapse()
                else:
                    await self._bring_back(name)
            await asyncio.sleep(POLL_S)

    async def _bring_back(self, name: str) -> None:
        await asyncio.shield(self._again(name))

    async def _again(self, name: str) -> None:
        await self._house.bury(name)
        await self._house.start_again(name)
        self._say(f"{name}: is back")

    # ---- the end of a round -----------------------------------------------------------------------------------------

    async def _settle(self, trouble: Trouble) -> bool:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + SETTLE_S_MAX
        while loop.time() < deadline_s:
            if await self._settled(trouble):
                await asyncio.sleep(QUIET_S)
                if await self._settled(trouble):
                    return True
            await asyncio.sleep(POLL_S)
        return False

    async def _settled(self, trouble: Trouble) -> bool:
        if any(name not in self._house.died or not trouble.stays for name in self._house.died):
            return False
        asked = (("gateway", OPEN), ("gateway", UNTOLD), ("order", IN_DOUBT), ("payment", IN_DOUBT))
        return not any([await self._rows(service, query) for service, query in asked])

    async def _rows(self, service: str, query: str) -> bool:
        name = next(each for each in reversed(REPLICAS) if each.startswith(service) and each not in self._house.died)
        return bool(await self._house.replica(name).chassis.database.read(sa.text(query)))

    async def _end(self, each: Round) -> None:
        for name in list(self._house.died):
            await self._bring_back(name)
        for name in REPLICAS:
            self._house.arm(name)
        self._house.set_ahead("gateway-1", 0)
        self._house.network.heal()
        if each.trouble.kind is not Kind.NOTHING:
            began_s, ended_s = (
                (at_ms - self._began_ms) / 1_000 for at_ms in (self._round_ms, self._house.clock.now_ms())
            )
            self._troubles.append(trouble_row(f"round {each.number}", began_s, ended_s))

    def _say(self, what: str) -> None:
        self._told.append((self._house.clock.now_ms(), what))
