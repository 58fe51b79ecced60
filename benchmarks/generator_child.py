"""A Locust process for `benchmarks.generator`: `python -m benchmarks.generator_child bare|recorded URL SECONDS`.

Prints requests made a second, and per CPU second of this process. `bare` is a plain FastHttpUser; `recorded` goes
through our link, with lookup, trace, outcome and one appended record a request.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import gevent
from locust import FastHttpUser, constant, task
from locust.env import Environment
from locust.user.users import User

from loadtests.recorder import Recorder, RunClock
from loadtests.registry import Registry, Replica
from loadtests.users.journeys import Call
from loadtests.users.link import LocustLink

USERS = 16
PATH = "/trivial"


class Bare(FastHttpUser):
    """Locust as it comes."""

    wait_time = constant(0)

    @task
    def get(self) -> None:
        """One request."""
        self.client.get(PATH, name="goods")


class Recorded(FastHttpUser):
    """The same request through our link."""

    wait_time = constant(0)
    recorder: ClassVar[Recorder]
    registry: ClassVar[Registry]
    clock: ClassVar[RunClock]

    def on_start(self) -> None:
        """Make the link."""
        self.link = LocustLink(self.client, self.registry, self.recorder, self.clock.now_s)

    @task
    def get(self) -> None:
        """One request."""
        headers = {"Authorization": "Bearer token"}
        self.link.call(Call("order", "GET", PATH, "operation", "browse", "goods", self.clock.now_s(), None, headers))


def main() -> None:
    """Run and print."""
    kind, url, duration_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
    user: type[User] = Bare if kind == "bare" else Recorded
    user.host = url
    with tempfile.TemporaryDirectory(prefix="paylab-bench-") as folder:
        Recorded.recorder = Recorder(Path(folder))
        Recorded.registry = Registry(lambda: {"order": [Replica("order-0", url)]})
        Recorded.clock = RunClock(time.time())
        runner = Environment(user_classes=[user]).create_local_runner()
        runner.start(USERS, spawn_rate=USERS)
        before_s, before = time.process_time(), runner.stats.total.num_requests
        gevent.sleep(duration_s)
        made, cpu_s = runner.stats.total.num_requests - before, time.process_time() - before_s
        if failed := runner.stats.total.num_failures:
            raise RuntimeError(f"{failed} of {made} requests failed")
        print(made / duration_s, made / cpu_s)
        runner.quit()


if __name__ == "__main__":
    main()
