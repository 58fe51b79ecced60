"""`drop_reply`: calls on a link, or requests of a route, are executed and their answer is lost.

The cruellest of the network's tricks: the caller sees a timeout, and the money has moved.
"""

from typing import Literal

from scenarios.faults.base import PathFault


class DropReply(PathFault):
    """Calls on a link, or requests of a route, are executed and their answer is lost."""

    kind: Literal["drop_reply"]
