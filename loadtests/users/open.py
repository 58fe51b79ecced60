"""Open load: arrivals start when the plan says, whether or not the platform keeps up; a bounded pool executes them."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, ClassVar

import gevent
from gevent.event import AsyncResult
from locust import FastHttpUser, constant, task

from loadtests.dispatch import Dispatcher
from loadtests.recorder import Records
from loadtests.registry import Registry
from loadtests.users.accounts import Account
from loadtests.users.journeys import Journey
from loadtests.users.link import LocustLink, connection_pool
from loadtests.users.opening import renewed
from scenarios.plan import Arrival, LoadPlan


class OpenLoad:
    """The arrivals, the dispatcher that releases them in their time, and what the pool's users share."""

    def __init__(
        self,
        plan: LoadPlan,
        accounts: list[Account],
        registry: Registry,
        records: Records,
        now_s: Callable[[], float],
    ) -> None:
        self.plan = plan
        self.accounts = accounts
        self.registry = registry
        self.records = records
        self.now_s = now_s
        self.dispatcher = Dispatcher(plan.pool, plan.timeout_s)
        self.slots: Iterator[int] = count()
        self._wakes: dict[int, AsyncResult[Arrival]] = {}

    def release(self, arrivals: tuple[Arrival, ...]) -> None:
        """Hand out every arrival at its time; returns after the last one. To be run in a greenlet of its own."""
        for arrival in arrivals:
            if (early_s := arrival.at_s - self.now_s()) > 0:
                gevent.sleep(early_s)
            slot = self.dispatcher.arrive(arrival, self.now_s())
            if slot is not None:
                self._wakes.pop(slot).set(arrival)

    def next_arrival(self, slot: int) -> Arrival:
        """What the user in `slot` does next; waits until there is something."""
        arrival = self.dispatcher.free(slot, self.now_s())
        if arrival is None:
            wake: AsyncResult[Arrival] = AsyncResult()
            self._wakes[slot] = wake
            arrival = wake.get()
            self.dispatcher.begun(arrival, self.now_s())
        return arrival


class OpenUser(FastHttpUser):
    """One slot of the pool: takes the next arrival, executes it, comes back."""

    abstract = True
    load: ClassVar[OpenLoad]
    host = "http://127.0.0.1"  # never used: every address comes from the registry
    wait_time = constant(0)

    def on_start(self) -> None:
        """Take a slot and the account that belongs to it."""
        self.slot = next(self.load.slots)
        self.link = LocustLink(self.client, self.load.registry, self.load.records, self.load.now_s)

    @task
    def execute(self) -> None:
        """One arrival."""
        arrival = self.load.next_arrival(self.slot)
        load, plan = self.load, self.load.plan
        account = load.accounts[self.slot] = renewed(load.accounts[self.slot], load.registry, plan.timeout_s)
        Journey(self.link, load.records, account, arrival, arrival.at_s, plan.deadline_s).run()


def open_users(load: OpenLoad) -> type[OpenUser]:
    """A user class bound to this load."""
    attributes: dict[str, Any] = {
        "abstract": False,
        "load": load,
        "client_pool": connection_pool(load.plan.pool, load.plan.timeout_s),
    }
    return type("OpenUsers", (OpenUser,), attributes)


def wait_for(condition: Callable[[], bool], until: Callable[[], bool], interval_s: float = 0.02) -> bool:
    """Let the other greenlets work until `condition` holds (True) or `until` does (False)."""
    while not condition():
        if until():
            return False
        gevent.sleep(interval_s)
    return True
