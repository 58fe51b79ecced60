"""What the two participants share: their routes, and how they ask the coordinator."""

from collections.abc import Callable
from typing import Any

from settlement.protocol.messages import Voted
from settlement.protocol.records import Decision
from settlement.protocol.transitions import ProtocolError
from simulator.kernel import Steps
from simulator.network import NotSent, Reply, Unknown
from simulator.node import Payload
from simulator.participant_node import ParticipantNode, Replying, Unresolved
from simulator.service import Answer, Handler, Platform, problem


def participant_routes(platform: Platform, node: ParticipantNode) -> dict[str, Handler]:
    """`POST /participant/prepare`, `/charge` and `/decision`, and the way back to the coordinator."""

    def prepare(body: dict[str, Any]) -> Steps[Answer]:
        return vote(body, node.prepare)

    def charge(body: dict[str, Any]) -> Steps[Answer]:
        return vote(body, node.charge)

    def vote(body: dict[str, Any], ask: Callable[[str, str, Payload], Steps[Replying]]) -> Steps[Answer]:
        try:
            message, sent = yield from ask(body["gid"], body["kind"], body["payload"])
        except Unresolved as unresolved:  # it came home after the abort, and the channel is silent
            return problem(503, str(unresolved))
        assert isinstance(message, Voted)  # noqa: S101 - narrows the type
        return 200, {"vote": message.vote, "reason": message.reason}, sent

    def decide(body: dict[str, Any]) -> Steps[Answer]:
        try:
            _, sent = yield from node.decide(body["gid"], body["kind"], body["payload"], body["decision"])
        except Unresolved as unresolved:
            return problem(503, str(unresolved))
        except ProtocolError as error:
            return problem(409, "protocol_violation", detail=str(error))
        return 200, {"ack": True}, sent

    def ask(gid: str) -> Steps[Decision | None]:
        timeout_s = platform.plan.setting_s("http.timeout_ms")
        try:
            reply: Reply = yield platform.network.call(
                node.replica, "gateway", "GET /transactions/{gid}/outcome", {"gid": gid}, timeout_s
            )
        except (NotSent, Unknown):
            return None
        return reply.body["decision"] if reply.status == 200 else None

    node.ask_coordinator = ask
    return {
        "POST /participant/prepare": prepare,
        "POST /participant/charge": charge,
        "POST /participant/decision": decide,
    }
