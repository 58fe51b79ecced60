"""The two ways to play a plan's load, open and closed, with Locust used as a library."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import LocalRunner
from locust.user.users import User

from loadtests.dispatch import percentile
from loadtests.recorder import Records, RunClock
from loadtests.registry import Registry
from loadtests.shapes import PlanShape
from loadtests.users.accounts import Account
from loadtests.users.closed import ClosedLoad, Seat, closed_users
from loadtests.users.open import OpenLoad, open_users
from scenarios.plan import Plan, user_arrivals

POLL_INTERVAL_S = 0.02
PROBLEMS_KEPT = 5


class Player(ABC):
    """Plays the load once. `problems`: mistakes of the generator itself (not of the platform), the first few."""

    planned = 0
    started = 0
    dropped = 0
    lag_p99_s = 0.0

    def __init__(
        self, plan: Plan, accounts: list[Account], registry: Registry, records: Records, clock: RunClock
    ) -> None:
        self._plan = plan
        self._accounts = accounts
        self._registry = registry
        self._records = records
        self._clock = clock
        self.problems: list[str] = []
        # The last attempt may begin just before an operation's deadline.
        self._patience_s = plan.load.timeout_s + plan.load.deadline_s

    @staticmethod
    @abstractmethod
    def accounts_needed(plan: Plan) -> int:
        """How many users will be at work at once at most."""

    @abstractmethod
    def play(self, interrupted: Callable[[], bool]) -> None:
        """Play until all is done or `interrupted` says so; then the counts are final."""

    def _runner(self, users: type[User], **settings: Any) -> LocalRunner:
        environment = Environment(user_classes=[users], catch_exceptions=True, **settings)
        environment.events.user_error.add_listener(self._note)  # type: ignore[no-untyped-call] # Locust is untyped
        return environment.create_local_runner()

    def _note(self, user_instance: User, exception: Exception, tb: object, **_: object) -> None:
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(f"{type(user_instance).__name__}: {exception!r}")

    def _wait(self, condition: Callable[[], bool], interrupted: Callable[[], bool], until_s: float) -> None:
        while not condition() and not interrupted() and self._clock.now_s() < until_s:
            gevent.sleep(POLL_INTERVAL_S)


class OpenPlayer(Player):
    """Arrivals at their planned times, executed by a pool of users."""

    @staticmethod
    def accounts_needed(plan: Plan) -> int:
        """A cart belongs to a user, so every slot of the pool has a user of its own."""
        return plan.load.pool

    def play(self, interrupted: Callable[[], bool]) -> None:
        """Spawn the pool, release the arrivals, wait for the last journey."""
        load = OpenLoad(self._plan.load, self._accounts, self._registry, self._records, self._clock.now_s)
        runner = self._runner(open_users(load))
        dispatcher, pool = load.dispatcher, self._plan.load.pool
        runner.start(pool, spawn_rate=pool)
        self._wait(lambda: dispatcher.idle == pool, interrupted, until_s=0.0)
        releasing = gevent.spawn(load.release, self._plan.arrivals)
        # The longest journey is a few operations, each with its deadline; the lab waits a little longer than this.
        last_s = self._plan.load_s + 3 * self._patience_s
        self._wait(lambda: releasing.ready() and dispatcher.at_rest, interrupted, last_s)
        releasing.kill()
        dispatcher.abandon()
        runner.quit()
        self.planned, self.started = len(self._plan.arrivals), dispatcher.started
        # After an interruption some arrivals were never due; they are missing, not dropped.
        self.dropped, self.lag_p99_s = dispatcher.dropped, percentile(dispatcher.lags_s, 0.99)


class ClosedPlayer(Player):
    """As many users at work as the stages say."""

    @staticmethod
    def accounts_needed(plan: Plan) -> int:
        """The fullest stage's users."""
        return max((stage.users for stage in plan.load.stages), default=0)

    def play(self, interrupted: Callable[[], bool]) -> None:
        """Start with the first stage, end after the last journey that began within the last one."""
        seats = [Seat(account, user_arrivals(self._plan, user)) for user, account in enumerate(self._accounts)]
        load = ClosedLoad(
            registry=self._registry,
            records=self._records,
            now_s=self._clock.now_s,
            deadline_s=self._plan.load.deadline_s,
            new_seat=_no_seat_left,
            seats=deque(seats),
        )
        plan, users = self._plan.load, self.accounts_needed(self._plan)
        runner = self._runner(
            closed_users(load, users, plan.timeout_s, plan.think_s),
            shape_class=PlanShape(plan.stages, self._clock.now_s),
            # A user whose stage ends finishes its journey first.
            stop_timeout=2 * self._patience_s,
        )
        self._wait(lambda: self._clock.now_s() >= 0, interrupted, until_s=0.0)
        runner.start_shape()
        shape = runner.shape_greenlet
        assert shape is not None  # noqa: S101 - start_shape made it
        self._wait(shape.ready, interrupted, self._plan.load_s + 3 * self._patience_s)
        if not shape.ready():
            runner.environment.stop_timeout = 0.0
        runner.quit()
        self.planned = self.started = load.started


def _no_seat_left() -> Seat:
    raise RuntimeError("more users at work than the plan's fullest stage has")
