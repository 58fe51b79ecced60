"""Keeps every replica's list of faults as wanted, whatever happens to the replica, and counts the hits.

What is wanted is compared with what was last told to the replica's present life, again and again: a fault that could
not be told to a process that was dead, paused or slow is told later, and a restarted process gets its faults back. The
calls run on a small pool of threads, because a paused replica must not hold up the timeline.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from scenarios.worlds.wire import Reply, Unreachable

HITS_INTERVAL_S = 1.0
RETRY_INTERVAL_S = 0.1
CALLS_AT_ONCE = 4

FaultBody = dict[str, Any]
HitKey = tuple[str, str, int]  # fault id, replica, which life of that replica (a new life counts from zero)


class FaultLine(Protocol):
    """How faults reach a replica."""

    def address(self, replica: str) -> str | None:
        """Where the replica's present life listens; None while there is nobody to tell."""
        ...

    def set_faults(self, replica: str, address: str, faults: list[FaultBody] | None) -> Reply:
        """Replace the replica's list, or read it (None). Raises Unreachable."""
        ...


@dataclass
class Post:
    """What one replica should have, what its present life was told, and the call under way.

    `unconfirmed`: what it was sent without an answer; it may have heard.
    """

    wanted: dict[str, FaultBody] = field(default_factory=dict)
    told: tuple[str | None, tuple[str, ...]] = (None, ())
    unconfirmed: tuple[str, ...] = ()
    lives: int = 0
    call: Future[None] | None = None
    next_tell_s: float = 0.0
    next_ask_s: float = 0.0
    problem: str = ""


class Switchboard:
    """Faults wanted per replica. `step` is called often and never blocks; `close` waits for the calls under way."""

    def __init__(self, line: FaultLine) -> None:
        self._line = line
        self._posts: dict[str, Post] = {}
        self._hits: dict[HitKey, int] = {}
        self._pool = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="faults")

    def want(self, replica: str, fault: FaultBody) -> None:
        """From now on this replica has this fault."""
        self._posts.setdefault(replica, Post()).wanted[fault["id"]] = fault

    def unwant(self, fault_id: str) -> None:
        """From now on no replica has this fault."""
        for post in self._posts.values():
            post.wanted.pop(fault_id, None)

    def hits(self, fault_id: str) -> int:
        """How often the fault struck, over all replicas and all their lives, as far as they could still tell."""
        return sum(count for (fault, _, _), count in self._hits.items() if fault == fault_id)

    def may_have(self, replica: str, fault_id: str) -> bool:
        """Whether the replica may have the fault: it was told so, and has not confirmed a list without it."""
        post = self._posts.get(replica)
        return post is not None and fault_id in (*post.told[1], *post.unconfirmed)

    def pending(self) -> list[str]:
        """Replicas whose list is not as wanted, each with the reason, for a warning."""
        late = [(name, post.problem) for name, post in self._posts.items() if self._differs(name, post)]
        return [f"{name}: {problem or 'not told yet'}" for name, problem in late]

    def step(self, at_s: float) -> None:
        """Start the calls that are due."""
        for name, post in self._posts.items():
            if post.call is not None:
                if not post.call.done():
                    continue
                post.call.result()  # a mistake of ours must not stay in the future
                post.call = None
            address = self._line.address(name)
            if address is None:
                # It may have been cut off only, and then has its list still: it is told again when it is back.
                post.told = (None, post.told[1])
            elif self._differs(name, post) and at_s >= post.next_tell_s:
                post.next_tell_s = at_s + RETRY_INTERVAL_S
                post.call = self._pool.submit(self._tell, name, address, post, list(post.wanted.values()))
            elif post.wanted and at_s >= post.next_ask_s:
                post.next_ask_s = at_s + HITS_INTERVAL_S
                post.call = self._pool.submit(self._ask, name, address, post)

    def close(self) -> None:
        """End the calls; afterwards the switchboard is of no use but for its counts."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _differs(self, name: str, post: Post) -> bool:
        address = self._line.address(name)
        if address is None or not (post.wanted or post.told[1] or post.unconfirmed):
            return False
        return bool(post.unconfirmed) or post.told != (address, tuple(post.wanted))

    def _tell(self, name: str, address: str, post: Post, faults: list[FaultBody]) -> None:
        """Runs on a thread of the pool; nobody else touches the post meanwhile but for `wanted`."""
        self._ask(name, address, post)  # the last word of the faults that end now
        post.unconfirmed = (*post.unconfirmed, *(fault["id"] for fault in faults))
        try:
            reply = self._line.set_faults(name, address, faults)
        except Unreachable as error:
            post.problem = str(error)
            return
        if reply.status >= 300:
            post.problem = f"the fault endpoint answered {reply.status}: {reply.body}"
            return
        if post.told[0] != address:
            post.lives += 1
        post.told, post.unconfirmed, post.problem = (address, tuple(fault["id"] for fault in faults)), (), ""

    def _ask(self, name: str, address: str, post: Post) -> None:
        if post.told[0] != address:
            return  # this life was told nothing yet
        try:
            body = self._line.set_faults(name, address, None).body
        except Unreachable as error:
            post.problem = str(error)
            return
        for fault in (body or {}).get("faults", []):
            key = (str(fault["id"]), name, post.lives)
            self._hits[key] = max(self._hits.get(key, 0), int(fault["hits"]))
