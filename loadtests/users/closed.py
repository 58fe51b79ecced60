"""Closed load: users who do one journey after the other and think in between. A slow platform gets fewer requests."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from locust import FastHttpUser, constant, task

from loadtests.recorder import Records
from loadtests.registry import Registry
from loadtests.users.accounts import Account
from loadtests.users.journeys import Journey
from loadtests.users.link import LocustLink, connection_pool
from loadtests.users.opening import renewed
from scenarios.plan import Arrival


@dataclass
class Seat:
    """What a user at work needs for itself: an account (carts are per account) and the journeys to do."""

    account: Account
    arrivals: Iterator[Arrival]


@dataclass
class ClosedLoad:
    """What the users share. A user takes a free seat, or `new_seat` makes one; it goes back when the user stops."""

    registry: Registry
    records: Records
    now_s: Callable[[], float]
    deadline_s: float
    new_seat: Callable[[], Seat]
    seats: deque[Seat] = field(default_factory=deque)
    started: int = 0

    def take_seat(self) -> Seat:
        """A seat that nobody else has."""
        return self.seats.popleft() if self.seats else self.new_seat()


class ClosedUser(FastHttpUser):
    """One user at work: the next journey, a pause, the next journey."""

    abstract = True
    load: ClassVar[ClosedLoad]
    host: str | None = "http://127.0.0.1"  # in a planned run; every address comes from the registry
    seat: Seat | None = None

    def on_start(self) -> None:
        """Take a seat."""
        self.link = LocustLink(self.client, self.load.registry, self.load.records, self.load.now_s)
        self.seat = self.load.take_seat()

    def on_stop(self) -> None:
        """Leave it to the next."""
        if self.seat is not None:
            self.load.seats.append(self.seat)

    @task
    def execute(self) -> None:
        """One journey, intended to start now: a closed user never comes late."""
        if self.seat is None:
            raise RuntimeError("a user without a seat")
        load, arrival = self.load, next(self.seat.arrivals)
        load.started += 1
        account = self.seat.account = renewed(self.seat.account, load.registry, self.network_timeout)
        Journey(self.link, load.records, account, arrival, load.now_s(), load.deadline_s).run()


def closed_users(load: ClosedLoad, users: int, timeout_s: float, think_s: float) -> type[ClosedUser]:
    """A user class bound to this load."""
    attributes: dict[str, Any] = {
        "abstract": False,
        "load": load,
        "wait_time": constant(think_s),
        "network_timeout": timeout_s,
        "client_pool": connection_pool(users, timeout_s),
    }
    return type("ClosedUsers", (ClosedUser,), attributes)
