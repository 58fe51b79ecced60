"""Which services exist, where they listen under compose, which share a process, and who hears of which event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# What a replica says it is unless it is told otherwise.
VERSION: Final = "0.2.0"


@dataclass(frozen=True)
class Service:
    """One service: its name, its port in the composed platform, and what it owns."""

    name: str
    port: int
    owns: str


_SERVICES: Final = (
    Service("configcenter", 8761, "config versions, registrations"),
    Service("usercenter", 8080, "users"),
    Service("cart", 8081, "cart items"),
    Service("order", 8082, "orders, goods, stock"),
    Service("payment", 8083, "payments, ledger"),
    Service("gateway", 8084, "transactions, idempotency keys"),
    Service("message", 8085, "inbox, deliveries"),
    Service("statistics", 8086, "aggregates"),
    Service("risk", 8087, "rules, assessments"),
    Service("reconciliation", 8088, "statements, differences"),
    Service("clearing", 8089, "batches"),
    Service("reporting", 8091, "reports"),
    Service("audit", 8092, "hash-chained records"),
    Service("channel", 8090, "the outside world's own ledger"),
)
SERVICES: Final[dict[str, Service]] = {service.name: service for service in _SERVICES}

# Starting order: the registry first, everybody else in any order.
REGISTRY_SERVICE: Final = "configcenter"

# What a payment can do without (risk as configured): these may share a process, to fit a small machine.
BACKOFFICE: Final = ("message", "statistics", "risk", "reconciliation", "clearing", "reporting", "audit")
BACKOFFICE_PROCESS: Final = "backoffice"

# Each inner tuple shares one process. `merged` is the article's own optimisation: usercenter and order together.
_CORE: Final = tuple(name for name in SERVICES if name not in BACKOFFICE)
_APART: Final = tuple((name,) for name in _CORE if name not in ("usercenter", "order"))
TOPOLOGIES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "compact": (*((name,) for name in _CORE), BACKOFFICE),
    "split": tuple((name,) for name in SERVICES),
    "merged": (_APART[0], ("usercenter", "order"), *_APART[1:], BACKOFFICE),
}
DEFAULT_TOPOLOGY: Final = "compact"

# The participants of a transaction, by kind of transaction.
PARTICIPANTS: Final = ("order", "payment")

# Event type -> services that hear of it; audit hears of everything.
_HEARD_BY: Final[dict[str, tuple[str, ...]]] = {
    "user.registered": (),
    "order.created": ("cart", "message", "statistics"),
    "order.cancelled": ("statistics",),
    "order.paid": ("statistics", "clearing"),
    "order.refunded": ("statistics", "clearing"),
    "payment.succeeded": ("message", "statistics", "reporting"),
    "payment.failed": ("message", "statistics", "reporting"),
    "refund.succeeded": ("message", "statistics", "reporting"),
    "refund.failed": ("message", "statistics", "reporting"),
    "transaction.intervened": (),
    "risk.refused": (),
    "clearing.settled": ("reporting",),
    "reconciliation.difference_found": (),
}
SUBSCRIPTIONS: Final[dict[str, tuple[str, ...]]] = {
    event_type: (*heard_by, "audit") for event_type, heard_by in _HEARD_BY.items()
}

ORPHAN_AFTER_MS: Final = 5_000
"""What a replica has written and not delivered for so long, any other of its service delivers: it may be dead."""


def processes(topology: str) -> tuple[tuple[str, ...], ...]:
    """The services of each process of a topology. Raises KeyError naming the known ones."""
    if topology not in TOPOLOGIES:
        raise KeyError(f"unknown topology {topology!r}; known: {', '.join(TOPOLOGIES)}")
    return TOPOLOGIES[topology]


def replica_name(service: str, number: int) -> str:
    """`gateway-0` and so on."""
    return f"{service}-{number}"


def process_name(services: Sequence[str], number: int) -> str:
    """`gateway-0`, `usercenter-0+order-0`, `backoffice-0`: the process of these services' replicas of one number."""
    if len(services) > 1 and set(services) <= set(BACKOFFICE):
        return replica_name(BACKOFFICE_PROCESS, number)
    return "+".join(replica_name(service, number) for service in services)
