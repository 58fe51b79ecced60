"""Which services exist, where they listen under compose, which share a process, and who hears of which event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# What a replica says it is unless it is told otherwise.
VERSION: Final = "0.1.0"


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
    Service("channel", 8090, "the outside world's own ledger"),
)
SERVICES: Final[dict[str, Service]] = {service.name: service for service in _SERVICES}

# Starting order: the registry first, everybody else in any order.
REGISTRY_SERVICE: Final = "configcenter"

# Each inner tuple shares one process. `merged` is the article's own optimisation: usercenter and order together.
TOPOLOGIES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "split": tuple((name,) for name in SERVICES),
    "merged": (("configcenter",), ("usercenter", "order"), ("cart",), ("payment",), ("gateway",), ("channel",)),
}

# The participants of a transaction, by kind of transaction.
PARTICIPANTS: Final = ("order", "payment")

# Event type -> services that hear of it.
SUBSCRIPTIONS: Final[dict[str, tuple[str, ...]]] = {"order.created": ("cart",)}


def processes(topology: str) -> tuple[tuple[str, ...], ...]:
    """The services of each process of a topology. Raises KeyError naming the known ones."""
    if topology not in TOPOLOGIES:
        raise KeyError(f"unknown topology {topology!r}; known: {', '.join(TOPOLOGIES)}")
    return TOPOLOGIES[topology]


def replica_name(service: str, number: int) -> str:
    """`gateway-0` and so on."""
    return f"{service}-{number}"
