"""Interpreter of the coordinator's protocol for a real service: the transactions of one replica.

Each transaction is a `Drive`. Where the records live is the service's business (`Journal`). Every write is a
compare-and-set on (gid, epoch): whoever lost a transaction to a take-over finds another epoch and is fenced.

    coordinator = Coordinator(chassis, journal)
    await coordinator.recover_left_behind()                                    # at start
    chassis.every(interval, coordinator.recover, "recovery")
    answer = await coordinator.begin(errand, participants, insert)             # returns at the durable decision
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from settlement.chassis.coordination import Claimed, Errand, Insert, Journal, Overtaken
from settlement.chassis.drive import Drive, consume
from settlement.chassis.drive_spans import RECOVERY
from settlement.chassis.trace import Trace, bind_gid, enter_trace
from settlement.chassis.two_phase_metrics import CoordinatorMetrics
from settlement.protocol.coordinator import ROLE, CoordinatorState, CoordinatorTiming, handle
from settlement.protocol.crashpoints import AFTER, BEFORE, name_of
from settlement.protocol.effects import Persist, Reply
from settlement.protocol.events import Event, Forgotten, OutcomeAsked, Overruled, Recovered, Resumed, Started
from settlement.protocol.lease import Lease, grant
from settlement.protocol.messages import Answer, Outcome
from settlement.protocol.records import CoordinatorPhase, Participant, TransactionRecord
from settlement.protocol.shipped import PROTOCOLS, TWO_PHASE, Protocol

if TYPE_CHECKING:
    from settlement.chassis.app import Chassis
    from settlement.chassis.database import Transaction

CLAIMED_AT_ONCE_MAX = 50
LEFT_BEHIND_MAX = 10_000
_UNFINISHED = (CoordinatorPhase.PREPARING, CoordinatorPhase.DECIDED)
_TWO_PHASE_ONLY = (CoordinatorPhase.DECIDED, CoordinatorPhase.EXHAUSTED)

AfterReply = Callable[[], Awaitable[None]]
# Writes down who intervened and why, in the caller's transaction; is told the record as it was.
NoteIntervention = Callable[["Transaction", TransactionRecord], Awaitable[None]]

__all__ = ["Claimed", "Coordinator", "Errand", "Insert", "Journal", "Overtaken"]


class Coordinator:
    """Drives the transactions of this replica, and takes over those of replicas that fell silent."""

    def __init__(self, chassis: Chassis, journal: Journal) -> None:
        self._chassis = chassis
        self._journal = journal
        # A restarted replica is another owner: what its dead predecessor held is not its own.
        self._owner = f"{chassis.replica}/{secrets.token_hex(4)}"
        self._drives: dict[str, Drive] = {}
        self._metrics = CoordinatorMetrics(chassis.metrics.registry)
        self._metrics.watch(chassis, journal.in_doubt)

    async def begin(self, errand: Errand, participants: Sequence[Participant], insert: Insert) -> Answer:
        """Run a new transaction up to its durable decision; completion goes on in the background.

        Raises whatever `insert` refused with (nothing exists then), and Overtaken if this replica lost it.
        """
        bind_gid(errand.gid)
        state = CoordinatorState(errand.gid, timing=self._timing())
        lease = grant(self._owner, self._chassis.clock.now_ms(), self._lease_ms())
        drive = self._adopt(errand, self._protocol(), state, lease, insert)
        await drive.feed(Started(tuple(participants)))
        return await drive.answer

    async def recover(self) -> int:
        """Take over what nobody drives any more; returns how many transactions."""
        if not await self._journal.has_lapsed(self._chassis.clock.now_ms()):
            return 0
        now_ms = self._chassis.clock.now_ms()
        ours = self._drives.keys()  # our own live drives are no orphans, however slow this process is
        claimed = await self._chassis.database.run(
            lambda tx: self._journal.claim(tx, self._owner, now_ms, self._lease_ms(), ours, CLAIMED_AT_ONCE_MAX)
        )
        return self._resume_all(claimed, "lease_lapsed")

    async def recover_left_behind(self) -> int:
        """At start: take over what this replica's earlier process was driving, without waiting for its leases."""
        now_ms = self._chassis.clock.now_ms()
        replica, lease_ms = self._chassis.replica, self._lease_ms()
        claimed = await self._chassis.database.run(
            lambda tx: self._journal.claim_left_behind(tx, replica, self._owner, now_ms, lease_ms, LEFT_BEHIND_MAX)
        )
        return self._resume_all(claimed, "left_behind")

    def _resume_all(self, claimed: Sequence[Claimed], cause: str) -> int:
        for one in claimed:
            self._chassis.log.info("taken_over", gid=one.errand.gid, phase=one.record.phase, epoch=one.lease.epoch)
            self._chassis.spawn(self._resume(one, cause), f"recover {one.errand.gid}")
        return len(claimed)

    async def intervene(
        self, gid: str, event: Resumed | Forgotten | Overruled, note: NoteIntervention
    ) -> TransactionRecord | None:
        """An operator's order; returns the record as it left it, None for an unknown gid.

        Claim, record and note are one local transaction: an order is either on record with who gave it and carried
        out, or neither. Whoever drove the transaction is fenced. Raises ProtocolError if the order is impossible in
        this phase, and what `note` refuses with; then everything is as it was.
        """

        async def step(tx: Transaction) -> tuple[Claimed, TransactionRecord] | None:
            claimed = await self._claim_one(tx, gid)
            if claimed is None:
                return None
            state, effects = handle(CoordinatorState.of(claimed.record, self._timing()), event)
            await self._chassis.crash_points.passed(name_of(ROLE, state.phase, effects[0], BEFORE))
            await note(tx, claimed.record)
            await self._journal.update(tx, state.record, claimed.lease)
            return claimed, state.record

        stepped = await self._chassis.database.run(step)
        if stepped is None:
            return None
        claimed, record = stepped
        await self._chassis.crash_points.passed(name_of(ROLE, record.phase, Persist(record), AFTER))
        self._count_intervention(event, claimed, record)
        # What is left of the step is what a recovery does: tell everybody, and again until they have acknowledged.
        await self._resume(replace(claimed, record=record), "operator")
        return record

    def _count_intervention(self, event: Event, before: Claimed, record: TransactionRecord) -> None:
        if isinstance(event, Overruled) and record.heuristic:
            self._metrics.overruled(event.decision)
        if before.record.decision is None and record.decision is not None:
            self._metrics.ended(before.errand.kind, record.decision)

    async def outcome(self, gid: str, record: TransactionRecord | None) -> tuple[Outcome, AfterReply]:
        """What a participant that asks is told, and what to await once it was told. No record means abort."""
        state = CoordinatorState(gid)
        if record is not None:
            state = CoordinatorState.of(record, self._timing())
        state, (effect,) = handle(state, OutcomeAsked("participant"))
        if not isinstance(effect, Reply) or not isinstance(effect.message, Outcome):
            raise TypeError(f"an inquiry is answered with an outcome, not {effect!r}")
        passed = self._chassis.crash_points.passed
        await passed(name_of(ROLE, state.phase, effect, BEFORE))
        return effect.message, partial(passed, name_of(ROLE, state.phase, effect, AFTER))

    @property
    def driven(self) -> int:
        """How many transactions this replica drives at the moment."""
        return len(self._drives)

    async def _claim_one(self, tx: Transaction, gid: str) -> Claimed | None:
        return await self._journal.claim_one(tx, gid, self._owner, self._chassis.clock.now_ms(), self._lease_ms())

    async def _take_back(self, gid: str) -> None:
        """Read what became of a write whose commit was lost, and go on from there.

        Reading takes the row's lock, so the lost commit has happened or never will; and one epoch up, so that nothing
        else of the lost drive can follow. While the database is away the lease runs out, and `recover` does the same.
        """
        claimed = await self._chassis.database.run(lambda tx: self._claim_one(tx, gid))
        if claimed is not None and claimed.record.phase in _UNFINISHED:
            self._resume_all([claimed], "commit_unknown")

    async def _resume(self, claimed: Claimed, cause: str) -> Drive:
        gid = claimed.errand.gid
        bind_gid(gid)
        self._metrics.recovered(cause)
        recovery = self._chassis.tracing.of_recovery(RECOVERY, gid, {"paylab.cause": cause})
        if recovery is not None:
            enter_trace(recovery)
        state = CoordinatorState(gid, timing=self._timing())
        # What two-phase commit decided, it also ends, whatever has been set since.
        protocol = PROTOCOLS[TWO_PHASE] if claimed.record.phase in _TWO_PHASE_ONLY else self._protocol()
        drive = self._adopt(claimed.errand, protocol, state, claimed.lease, recovery=recovery)
        drive.answer.add_done_callback(consume)
        await drive.feed(Recovered(claimed.record))
        return drive

    def _adopt(
        self,
        errand: Errand,
        protocol: Protocol,
        state: CoordinatorState,
        lease: Lease,
        insert: Insert | None = None,
        recovery: Trace | None = None,
    ) -> Drive:
        drive = Drive(
            self._chassis,
            self._journal,
            errand,
            protocol,
            state,
            lease,
            self._forget,
            self._metrics,
            insert,
            recovery,
        )
        self._drives[errand.gid] = drive
        return drive

    def _forget(self, drive: Drive) -> None:
        if self._drives.get(drive.errand.gid) is drive:
            del self._drives[drive.errand.gid]
        if drive.commit_unknown and not self._chassis.stopping.is_set():
            self._chassis.spawn(self._take_back(drive.errand.gid), f"take back {drive.errand.gid}")

    def _protocol(self) -> Protocol:
        return PROTOCOLS[self._chassis.settings.text("gateway.protocol")]

    def _lease_ms(self) -> int:
        return self._chassis.settings.integer("gateway.lease_ms")

    def _timing(self) -> CoordinatorTiming:
        read = self._chassis.settings.integer
        return CoordinatorTiming(
            prepare_timeout_ms=read("gateway.prepare_timeout_ms"),
            retry_base_ms=read("gateway.retry_base_ms"),
            retry_max_ms=read("gateway.retry_max_ms"),
            retry_attempts_max=read("gateway.retry_attempts_max"),
        )
