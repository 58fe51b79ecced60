"""What the interpreters of the shipped protocol share: crash points, timers, and what a transaction is about.

The two roles are in `coordinator_node` and `participant_node`: the same `handle` functions as in the services, in
virtual time. Effects run strictly in order, and every one passes its crash points. What is in a store
(`TransactionStore`, `BarrierStore`) is the database: it survives a crash, and all replicas of a service share it. What
is in a node dies with its process; a restart feeds `Recovered(record)`. A commit takes time, but its change is made at
one instant, together with the business change that belongs to it: a process dies before it or after it, never in the
middle.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from settlement.protocol.crashpoints import name_of
from settlement.protocol.effects import Effect, SetTimer
from settlement.values import unguarded
from simulator.faults import CrashPoints
from simulator.kernel import Commit
from simulator.replica import Replica
from simulator.timers import Timer


@unguarded
@dataclass(frozen=True, slots=True)
class Payload:
    """What a transaction is about; travels with prepare and decision. Amounts are minor units."""

    user_id: int
    order_no: str
    amount_minor: int
    currency: str
    method: str
    out_trade_no: str
    payment_gid: str = ""
    refund_no: str = ""


class Node:
    """What both roles need: the crash points and timers of the process they run in."""

    def __init__(self, replica: Replica, crash_points: CrashPoints, commit_s: float) -> None:
        self.replica, self.process = replica, replica.process
        self._crash_points, self._commit_s, self.committed = crash_points, commit_s, Commit(commit_s)
        self._timers: dict[tuple[str, str], Timer] = {}

    def _passed(self, role: str, phase: StrEnum, effect: Effect, side: str) -> None:
        """To be called only while the crash points are watched: nobody wants to know most of the time."""
        self._crash_points.passed(self.replica, name_of(role, phase, effect, side))

    def _set_timer(self, gid: str, effect: SetTimer, action: Callable[[], None]) -> None:
        timers, key = self._timers, (gid, effect.name)
        if key in timers:
            timers[key].cancel()
        timers[key] = self.process.deadline(effect.delay_ms / 1000, action)

    def _cancel_timer(self, gid: str, name: str) -> None:
        timer = self._timers.pop((gid, name), None)
        if timer is not None:
            timer.cancel()
