"""What the two-phase commit counts, on the coordinator's side and on a participant's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from settlement.chassis.metrics import LATENCY_BUCKETS_S
from settlement.protocol.records import Decision, Vote

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from settlement.chassis.app import Chassis

COORDINATOR: Final = "coordinator"
PARTICIPANT: Final = "participant"
HOLD_BUCKETS_S: Final = (*LATENCY_BUCKETS_S, 30.0, 60.0, 300.0, 1_800.0)
"""A participant holds for as long as nobody tells it the outcome: that is what blocking means."""


@dataclass(frozen=True)
class InDoubt:
    """What a database holds undecided or unapplied now. Times are epoch milliseconds; None when there is nothing."""

    count: int
    oldest_at_ms: int | None
    exhausted: int = 0


class TwoPhaseMetrics:
    """What both sides have: outcomes, what is in doubt now and since when, and what had to be recovered."""

    def __init__(self, registry: CollectorRegistry, role: str) -> None:
        self._role = role
        self._committed = Counter(
            "paylab_2pc_committed", "Commits: decided by the coordinator, applied by a participant", ["role", "kind"],
            registry=registry,
        )  # fmt: skip
        self._aborted = Counter(
            "paylab_2pc_aborted", "Aborts: decided by the coordinator, applied by a participant", ["role", "kind"],
            registry=registry,
        )  # fmt: skip
        self._recoveries = Counter(
            "paylab_2pc_recoveries",
            "Transactions taken up again: lease_lapsed, left_behind, operator, orphan",
            ["role", "cause"], registry=registry,
        )  # fmt: skip
        self._in_doubt = Gauge(
            "paylab_2pc_in_doubt",
            "Begun and not closed (coordinator), or prepared without an outcome (participant); of the whole service",
            ["role"], registry=registry,
        ).labels(role)  # fmt: skip
        self._oldest = Gauge(
            "paylab_2pc_in_doubt_oldest_age_seconds", "Age of the oldest transaction in doubt; of the whole service",
            ["role"], registry=registry,
        ).labels(role)  # fmt: skip

    def ended(self, kind: str, decision: Decision) -> None:
        """Count a decision (coordinator) or its application (participant)."""
        counter = self._committed if decision is Decision.COMMIT else self._aborted
        counter.labels(self._role, kind).inc()

    def recovered(self, cause: str) -> None:
        """Count a transaction that was taken up again."""
        self._recoveries.labels(self._role, cause).inc()

    def watch(self, chassis: Chassis, look_up: Callable[[], Awaitable[InDoubt]]) -> None:
        """Have what is in doubt looked up whenever somebody scrapes."""

        async def refresh() -> None:
            found = await look_up()
            now_ms = chassis.clock.now_ms()
            self._in_doubt.set(found.count)
            self._oldest.set(0.0 if found.oldest_at_ms is None else max(0, now_ms - found.oldest_at_ms) / 1_000)
            self.found(found)

        chassis.metrics.at_exposition(refresh)

    def found(self, found: InDoubt) -> None:
        """Take note of what else was looked up."""


class CoordinatorMetrics(TwoPhaseMetrics):
    """The coordinator's own: what began, how long a decision took, how often it had to be repeated, what is stuck."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, COORDINATOR)
        self._begun = Counter("paylab_2pc_begun", "Transactions whose begin is durable", ["kind"], registry=registry)
        self._durations = Histogram(
            "paylab_2pc_decision_duration_seconds", "From the begin of a transaction to its durable decision", ["kind"],
            registry=registry, buckets=LATENCY_BUCKETS_S,
        )  # fmt: skip
        self.retries = Counter(
            "paylab_2pc_decision_retries", "Rounds in which a decision was told again", registry=registry
        )
        self.gave_up = Counter(
            "paylab_2pc_gave_up", "Transactions that ran out of retries and wait for an operator", registry=registry
        )
        self.fenced = Counter(
            "paylab_2pc_fenced", "Writes refused because another replica had taken the transaction over",
            registry=registry,
        )  # fmt: skip
        self._heuristic = Counter(
            "paylab_2pc_heuristic", "Decisions that an operator made", ["decision"], registry=registry
        )
        self._exhausted = Gauge(
            "paylab_2pc_exhausted", "Transactions that wait for an operator now; of the whole service",
            registry=registry,
        )  # fmt: skip

    def begun(self, kind: str) -> None:
        """Count a transaction whose begin is durable."""
        self._begun.labels(kind).inc()

    def decided(self, kind: str, decision: Decision, duration_s: float | None) -> None:
        """Count a durable decision; the duration is not known for one that another process began."""
        self.ended(kind, decision)
        if duration_s is not None:
            self._durations.labels(kind).observe(duration_s)

    def overruled(self, decision: Decision) -> None:
        """Count a decision that an operator made."""
        self._heuristic.labels(decision.value).inc()

    def found(self, found: InDoubt) -> None:
        """What waits for an operator."""
        self._exhausted.set(found.exhausted)


class ParticipantMetrics(TwoPhaseMetrics):
    """A participant's own: what it prepared, what it refused, how long it held, and how often it had to ask."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, PARTICIPANT)
        self._prepared = Counter("paylab_2pc_prepared", "Durable votes of yes", ["kind"], registry=registry)
        self._refused = Counter("paylab_2pc_refused", "Durable votes of no", ["kind"], registry=registry)
        self._holds = Histogram(
            "paylab_2pc_lock_hold_seconds",
            "From a durable yes to its applied outcome: how long goods or money were held for nobody else to have",
            ["kind"], registry=registry, buckets=HOLD_BUCKETS_S,
        )  # fmt: skip
        self.inquiries = Counter(
            "paylab_2pc_inquiries", "Times the coordinator had to be asked what became of a transaction",
            registry=registry,
        )  # fmt: skip

    def voted(self, kind: str, vote: Vote | None) -> None:
        """Count a vote that is durable."""
        (self._prepared if vote is Vote.YES else self._refused).labels(kind).inc()

    def applied(self, kind: str, decision: Decision, held_ms: int | None) -> None:
        """Count an outcome that is durable here, and how long it was waited for; None: nothing was held."""
        self.ended(kind, decision)
        if held_ms is not None:
            self._holds.labels(kind).observe(max(0, held_ms) / 1_000)
