"""The faults a scenario can ask for, one a file: what it is, its parameters, what it hits, when it ends.

Planned parameters by kind (`PlannedFault.parameters`; `where` is `from, to, path?` or `service, route`):
kill `service, replica, restart_after_s`; pause, partition `service, replica`; throttle `service, replica, cpus`;
crash_at `service, replica, point, nth, restart_after_s, for_s?`; outage `of, restart_after_s`; latency `where, share,
delay_ms, jitter_ms`; error `where, share, status`; drop_reply `where, share`.
"""

from scenarios.faults.base import Fault, PathFault, ReplicaFault
from scenarios.faults.crash_at import CrashAt
from scenarios.faults.drop_reply import DropReply
from scenarios.faults.error import Error
from scenarios.faults.kill import Kill
from scenarios.faults.latency import Latency
from scenarios.faults.outage import Outage
from scenarios.faults.partition import Partition
from scenarios.faults.pause import Pause
from scenarios.faults.throttle import Throttle

AnyFault = Kill | Pause | CrashAt | Latency | Error | DropReply | Outage | Throttle | Partition

FAULTS: dict[str, type[AnyFault]] = {
    "kill": Kill,
    "pause": Pause,
    "crash_at": CrashAt,
    "latency": Latency,
    "error": Error,
    "drop_reply": DropReply,
    "outage": Outage,
    "throttle": Throttle,
    "partition": Partition,
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
    "Outage",
    "Partition",
    "PathFault",
    "Pause",
    "ReplicaFault",
    "Throttle",
]
