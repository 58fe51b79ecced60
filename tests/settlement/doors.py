"""Who may call which route: the whole platform's table, and the routes as the applications really have them.

A route that is in an application and not in the table (or the other way round) fails the access walk: whoever adds a
route says here for whom it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from settlement.chassis.signature import Call, signed_headers, target_of


class Door(StrEnum):
    """Whom a route is for."""

    OPEN = "everybody"
    OWN = "users: their own"  # answers about whoever asks, and nobody else
    OBJECT = "users: one object"  # names an object, which looks like none to everybody but its user
    SERVICE = "services"
    OPERATOR = "operators"
    FAULT = "fault injector"
    REGISTRY = "registry's clients"


EVERYWHERE = {
    "GET /openapi.json": Door.OPEN,
    "GET /health/live": Door.OPEN,
    "GET /health/ready": Door.OPEN,
    "GET /metrics": Door.OPEN,
    "POST /events": Door.SERVICE,
    "GET /operator/dead-letters": Door.OPERATOR,
    "POST /operator/dead-letters/replay": Door.OPERATOR,
    "POST /operator/dead-letters/discard": Door.OPERATOR,
    "PUT /faults": Door.FAULT,
    "GET /faults": Door.FAULT,
    "DELETE /faults": Door.FAULT,
}
PARTICIPANT = {
    "POST /participant/prepare": Door.SERVICE,
    "POST /participant/decision": Door.SERVICE,
    "POST /participant/standings": Door.SERVICE,
}
OWN_ROUTES: dict[str, dict[str, Door]] = {
    "configcenter": {
        "GET /registry": Door.OPEN,
        "PUT /registry/{service}/{replica}": Door.SERVICE,
        "PUT /registry/{service}/{replica}/lease": Door.SERVICE,
        "DELETE /registry/{service}/{replica}": Door.SERVICE,
        "GET /eureka/apps": Door.OPEN,
        "GET /eureka/apps/": Door.OPEN,
        "GET /eureka/apps/delta": Door.OPEN,
        "GET /eureka/apps/{app}": Door.OPEN,
        "GET /eureka/apps/{app}/{instance_id}": Door.OPEN,
        "GET /eureka/instances/{instance_id}": Door.OPEN,
        "GET /eureka/vips/{vip}": Door.OPEN,
        "GET /eureka/svips/{vip}": Door.OPEN,
        "GET /eureka/status": Door.OPEN,
        "POST /eureka/apps/{app}": Door.REGISTRY,
        "PUT /eureka/apps/{app}/{instance_id}": Door.REGISTRY,
        "DELETE /eureka/apps/{app}/{instance_id}": Door.REGISTRY,
        "PUT /eureka/apps/{app}/{instance_id}/status": Door.REGISTRY,
        "DELETE /eureka/apps/{app}/{instance_id}/status": Door.REGISTRY,
        "PUT /eureka/apps/{app}/{instance_id}/metadata": Door.REGISTRY,
        "GET /config": Door.OPEN,
        "GET /config/{profile}": Door.OPEN,
        "GET /config/{profile}/history": Door.OPEN,
        "GET /config/{profile}/versions/{version}": Door.OPEN,
        "GET /config/{profile}/diff": Door.OPEN,
        "PUT /config/{profile}": Door.OPERATOR,
        "POST /config/{profile}/rollback": Door.OPERATOR,
    },
    "usercenter": {
        "POST /captcha": Door.OPEN,
        "POST /users": Door.OPEN,
        "POST /sessions": Door.OPEN,
        "GET /users/me": Door.OWN,
        "PATCH /users/me": Door.OWN,
    },
    "cart": {
        "GET /cart": Door.OWN,
        "PUT /cart/items/{goods_id}": Door.OWN,
        "DELETE /cart/items/{goods_id}": Door.OWN,
        "DELETE /cart": Door.OWN,
        "GET /internal/carts/{user_id}": Door.SERVICE,
    },
    "order": {
        "GET /goods": Door.OPEN,
        "GET /goods/{goods_id}": Door.OPEN,
        "POST /orders": Door.OWN,
        "GET /orders": Door.OWN,
        "GET /orders/{order_no}": Door.OBJECT,
        "POST /orders/{order_no}/cancel": Door.OBJECT,
        **PARTICIPANT,
    },
    "payment": {
        "GET /accounts/me": Door.OWN,
        "GET /ledger/trial-balance": Door.OPERATOR,
        "POST /internal/payouts": Door.SERVICE,
        "GET /internal/payouts/{batch_id}": Door.SERVICE,
        "GET /internal/movements": Door.SERVICE,
        **PARTICIPANT,
        "POST /participant/charge": Door.SERVICE,
    },
    "gateway": {
        "POST /payments": Door.OBJECT,  # of an order
        "GET /payments": Door.OBJECT,  # by an idempotency key
        "GET /payments/{gid}": Door.OBJECT,
        "POST /payments/{gid}/refunds": Door.OBJECT,
        "GET /refunds": Door.OBJECT,
        "GET /refunds/{gid}": Door.OBJECT,
        "GET /transactions/{gid}/outcome": Door.SERVICE,
        "GET /operator/transactions": Door.OPERATOR,
        "GET /operator/transactions/{gid}": Door.OPERATOR,
        "POST /operator/transactions/{gid}/commit": Door.OPERATOR,
        "POST /operator/transactions/{gid}/abort": Door.OPERATOR,
        "POST /operator/transactions/{gid}/resume": Door.OPERATOR,
        "POST /operator/transactions/{gid}/forget": Door.OPERATOR,
    },
    "message": {
        "GET /messages": Door.OWN,
        "GET /messages/unread": Door.OWN,
        "POST /messages/{message_id}/read": Door.OBJECT,
        "GET /operator/deliveries": Door.OPERATOR,
    },
    "statistics": {
        "GET /statistics/payments": Door.OPERATOR,
        "GET /statistics/orders": Door.OPERATOR,
        "GET /statistics/summary": Door.OPERATOR,
    },
    "risk": {
        "POST /assessments": Door.SERVICE,
        "GET /assessments": Door.OPERATOR,
        "GET /rules": Door.OPERATOR,
        "POST /rules": Door.OPERATOR,
        "GET /rules/{name}": Door.OPERATOR,
        "GET /rules/{name}/history": Door.OPERATOR,
        "PUT /rules/{name}": Door.OPERATOR,
        "DELETE /rules/{name}": Door.OPERATOR,
    },
    "reconciliation": {
        "POST /statements": Door.OPERATOR,
        "POST /statements/{statement_id}/entries": Door.OPERATOR,
        "GET /statements/{statement_id}": Door.OPERATOR,
        "POST /runs": Door.OPERATOR,
        "GET /runs": Door.OPERATOR,
        "GET /runs/{run_id}": Door.OPERATOR,
        "GET /differences": Door.OPERATOR,
        "GET /differences/{difference_id}": Door.OPERATOR,
        "POST /differences/{difference_id}/resolve": Door.OPERATOR,
    },
    "clearing": {
        "POST /batches/close": Door.OPERATOR,
        "GET /batches": Door.OPERATOR,
        "GET /batches/{batch_id}": Door.OPERATOR,
    },
    "reporting": {
        "POST /reports": Door.OPERATOR,
        "GET /reports": Door.OPERATOR,
        "GET /reports/{report_id}": Door.OPERATOR,
        "GET /reports/{report_id}/content": Door.OPERATOR,
    },
    "audit": {
        "GET /audit/records": Door.OPERATOR,
        "GET /audit/head": Door.OPERATOR,
        "GET /audit/verify": Door.OPERATOR,
    },
    "channel": {
        "POST /card/authorizations": Door.SERVICE,
        "GET /card/authorizations/{out_trade_no}": Door.SERVICE,
        "POST /card/authorizations/{out_trade_no}/capture": Door.SERVICE,
        "POST /card/authorizations/{out_trade_no}/void": Door.SERVICE,
        "POST /card/authorizations/{out_trade_no}/refunds": Door.SERVICE,
        "POST /wallet/payments": Door.SERVICE,
        "GET /wallet/payments/{out_trade_no}": Door.SERVICE,
        "POST /wallet/payments/{out_trade_no}/cancel": Door.SERVICE,
        "POST /wallet/payments/{out_trade_no}/refunds": Door.SERVICE,
        "GET /statements/{day}": Door.SERVICE,
        "GET /statements": Door.SERVICE,
        "POST /operator/statements/plant": Door.FAULT,
        "DELETE /operator/statements/plant": Door.FAULT,
    },
}


@dataclass(frozen=True)
class RealRoute:
    """One method of one path of one service, as its application has it."""

    service: str
    method: str
    path: str
    asked: frozenset[str] = frozenset()  # the names of its query parameters

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def routes_of(replica: Any) -> list[RealRoute]:
    """Every route that this replica's application would match, those that no document shows too."""
    return [
        RealRoute(replica.chassis.service, method, route.path, _asked(route))
        for route in replica.app._app.router.routes
        for method in sorted(route.methods)
        if method != "HEAD"
    ]


def _asked(route: Any) -> frozenset[str]:
    dependant = getattr(route, "dependant", None)
    return frozenset(field.alias for field in dependant.query_params) if dependant is not None else frozenset()


def doors_of(service: str) -> dict[str, Door]:
    """The table's routes of one service."""
    return EVERYWHERE | OWN_ROUTES[service]


def signed_for(cluster: Any, route: RealRoute, target: str, secret: str | None = None) -> dict[str, str]:
    """The headers of a signed call without a body, of a service that knows the secret (the right one, if not said)."""
    call = Call("tester", target_of(route.service, f"{route.service}-0"), route.method, target, b"")
    return signed_headers(secret or cluster.secrets.service, call, cluster.clock.now_ms())


def every_credential(cluster: Any, route: RealRoute, target: str) -> dict[str, str]:
    """What opens every door at once."""
    tokens = cluster.as_user(7) | cluster.as_operator() | cluster.as_fault_operator()
    return {**tokens, **signed_for(cluster, route, target)}
