"""Plain Locust against a running platform: `locust -f loadtests/locustfile.py --host http://127.0.0.1:8761`.

The host is the registry (`paylab up` prints its address). Closed users, with Locust's web page or headless; the figures
are Locust's own. Nothing is recorded for the checks: that is what `paylab run` is for.
"""

import random
from typing import Any

from locust import constant, events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopTest

from loadtests.mix import JOURNEYS, METHODS, arrivals, parse
from loadtests.recorder import NoRecords, RunClock
from loadtests.registry import NotARegistry, Registry, fetch
from loadtests.users.accounts import Account, AccountRefused, open_account
from loadtests.users.catalogue import goods_on_sale
from loadtests.users.closed import ClosedLoad, ClosedUser, Seat
from loadtests.users.opening import poster

TIMEOUT_S = 5.0
DEADLINE_S = 10.0


def _options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--mix", default="pay=70,browse=20,refund=10", help="shares of the journeys")
    parser.add_argument("--methods", default="card=50,wallet=30,balance=20", help="shares of the payment methods")
    parser.add_argument("--think", type=float, default=1.0, help="seconds a user waits between two journeys")
    parser.add_argument("--seed", type=int, default=1, help="for the order of journeys, methods and goods")


def _prepare(environment: Environment, **_: Any) -> None:
    """Look at the platform before the first user: a bad option or a wrong host ends the test, with the reason."""
    options = environment.parsed_options
    assert options is not None  # noqa: S101 - Locust's command line always sets it
    try:
        mix, methods = parse(options.mix, JOURNEYS, "mix"), parse(options.methods, METHODS, "methods")
        registry = Registry(lambda: fetch(environment.host or ""))
        goods_ids = goods_on_sale(registry, TIMEOUT_S)
    except (ValueError, NotARegistry) as error:
        environment.process_exit_code = 2
        raise StopTest(str(error)) from error
    environment.process_exit_code = None  # the web page may have corrected what was wrong the first time
    journeys = arrivals(mix, methods, goods_ids, random.Random(options.seed))
    Client.wait_time = constant(options.think)
    Client.load = ClosedLoad(
        registry=registry,
        records=NoRecords(),
        now_s=RunClock(0).now_s,
        deadline_s=DEADLINE_S,
        new_seat=lambda: Seat(_new_account(registry), journeys),
    )


def _new_account(registry: Registry) -> Account:
    try:
        return open_account(poster(registry, TIMEOUT_S))
    except AccountRefused as refused:
        raise StopTest(f"no account for a user: {refused}") from refused


class Client(ClosedUser):
    """A client of the platform: the next journey of the mix, a pause, and so on."""

    host = None
    network_timeout = TIMEOUT_S
    connection_timeout = TIMEOUT_S


events.init_command_line_parser.add_listener(_options)  # type: ignore[no-untyped-call] # Locust is untyped
events.test_start.add_listener(_prepare)  # type: ignore[no-untyped-call] # Locust is untyped
