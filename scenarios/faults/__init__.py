"""The faults a scenario can ask for, one a file: what it is, its parameters, what it hits, when it ends.

Planned parameters by kind (`PlannedFault.parameters`; `where` is `from, to, path?` or `service, route`):
kill `service, replica, restart_after_s`; pause `service, replica`; crash_at `service, replica, point, nth,
restart_after_s`; latency `where, share, delay_ms, jitter_ms`; error `where, share, status`; drop_reply `where, share`.
"""

from scenarios.faults.base import Fault, PathFault, ReplicaFault
from scenarios.faults.crash_at import CrashAt
from scenarios.faults.drop_reply import DropReply
from scenarios.faults.error import Error
from scenarios.faults.kill import Kill
from scenarios.faults.latency import Latency
from scenarios.faults.pause import Pause

AnyFault = Kill | Pause | CrashAt | Latency | Error | DropReply

FAULTS: dict[str, type[Kill] | type[Pause] | type[CrashAt] | type[Latency] | type[Error] | type[DropReply]] = {
    "kill": Kill,
    "pause": Pause,
    "crash_at": CrashAt,
    "latency": Latency,
    "error": Error,
    "drop_reply": DropReply,
}

__all__ = [
    "FAULTS",
    "AnyFault",
    "CrashAt",
    "DropReply",
    "Error",
    "Fault",
    "Kill",
    "Latency",
    "PathFault",
    "Pause",
    "ReplicaFault",
]
