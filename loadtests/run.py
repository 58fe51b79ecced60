"""Plays the load of a plan with Locust: `python -m loadtests.run --plan plan.json --registry URL --out DIR`.

A process of its own, because importing Locust patches the whole interpreter. It opens the accounts, prints `ready`,
waits for a line `start <epoch ms>` on its stdin (unless --start-at gave the time), plays, and ends. When its stdin is
closed, or on SIGTERM and SIGINT, it stops early, keeps all records and exits with 130.
"""

import gevent.monkey

gevent.monkey.patch_all()

import argparse
import json
import os
import resource
import signal
import stat
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import gevent
import gevent.socket

from loadtests.players import ClosedPlayer, OpenPlayer, Player
from loadtests.recorder import Recorder, RunClock
from loadtests.registry import NotARegistry, Registry, fetch
from loadtests.users.accounts import AccountRefused
from loadtests.users.opening import open_accounts
from scenarios.plan import Plan

EXIT_OK, EXIT_ERROR, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130
REGISTRY_REFRESH_S = 0.5
STDIN = 0


@dataclass(frozen=True)
class GeneratorRow:
    """How honest the generator was: the history's table `generator`."""

    planned: int
    started: int
    dropped: int
    lag_p99_s: float
    cpu_s_per_s: float
    workers_lost: int


class Interruption:
    """Set when somebody wants the run to end: stdin closed, SIGTERM, SIGINT."""

    def __init__(self) -> None:
        self.wanted = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self.wanted = True

    def watch_stdin(self) -> None:
        """Return when stdin is at its end, having set `wanted`. A stdin that is no pipe or socket says nothing."""
        mode = os.fstat(STDIN).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            return
        while not self.wanted:
            gevent.socket.wait_read(STDIN)
            if not os.read(STDIN, 4096):
                self.wanted = True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.run", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="the run's plan.json")
    parser.add_argument("--registry", required=True, help="address of the service registry")
    parser.add_argument("--out", type=Path, required=True, help="existing folder for the records")
    parser.add_argument("--start-at", type=int, metavar="EPOCH_MS", help="time zero (default: told on stdin)")
    return parser.parse_args()


def _start_line() -> int | None:
    """Epoch ms of the line `start <epoch_ms>` on stdin; None at its end. Raises ValueError for another line."""
    line = b""
    while not line.endswith(b"\n"):
        gevent.socket.wait_read(STDIN)
        if not (byte := os.read(STDIN, 1)):
            return None
        line += byte
    command, _, value = line.decode().strip().partition(" ")
    if command != "start":
        raise ValueError(f"expected `start <epoch ms>` on stdin, got {line!r}")
    return int(value)


def _allow_many_connections() -> None:
    """Raise the soft limit of open files to the hard one: an overloaded platform holds a connection a journey."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _play(player: Player, interruption: Interruption) -> GeneratorRow:
    cpu_s, started_s = _cpu_s(), time.monotonic()
    player.play(lambda: interruption.wanted)
    share = (_cpu_s() - cpu_s) / max(time.monotonic() - started_s, 1e-9)
    return GeneratorRow(player.planned, player.started, player.dropped, player.lag_p99_s, share, workers_lost=0)


def _refresh(registry: Registry) -> None:
    while True:
        gevent.sleep(REGISTRY_REFRESH_S)
        registry.refresh()


def main() -> int:
    """Run; returns the exit status. Anything but a clean run is explained on stderr in a line."""
    arguments = _arguments()
    interruption = Interruption()
    _allow_many_connections()
    try:
        plan = Plan.from_json(arguments.plan.read_text(encoding="utf-8"))
        recorder = Recorder(arguments.out)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"loadtests.run: cannot use --plan or --out: {error!r}", file=sys.stderr)  # noqa: T201 - its way to say so
        return EXIT_BAD_INPUT
    kind = OpenPlayer if plan.load.kind == "open" else ClosedPlayer
    try:
        registry = Registry(lambda: fetch(arguments.registry))
        accounts = open_accounts(registry, kind.accounts_needed(plan))
    except (NotARegistry, AccountRefused) as error:
        print(f"loadtests.run: {error}", file=sys.stderr)  # noqa: T201 - its way to say so
        return EXIT_ERROR
    print("ready", flush=True)  # noqa: T201 - the lab waits for this line
    start_ms = arguments.start_at if arguments.start_at is not None else _start_line()
    if start_ms is None:
        return EXIT_INTERRUPTED
    gevent.spawn(interruption.watch_stdin)
    gevent.spawn(_refresh, registry)
    player = kind(plan, accounts, registry, recorder, RunClock(start_ms / 1000))
    row = _play(player, interruption)
    (arguments.out / "generator.json").write_text(json.dumps(asdict(row), indent=2) + "\n", encoding="utf-8")
    recorder.close()
    for problem in player.problems:
        print(f"loadtests.run: {problem}", file=sys.stderr)  # noqa: T201 - its way to say so
    if player.problems:
        return EXIT_ERROR
    return EXIT_INTERRUPTED if interruption.wanted else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
