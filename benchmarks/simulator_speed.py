"""How fast the simulator is, beside its peers and in the same run: `python -m benchmarks --only simulator`.

A speed counts only if the answer is right: each candidate's mean stay, over all rounds and after the warm-up, must
have an interval that covers Erlang's formula. CPU seconds, because a core that is shared with others says nothing about
wall time; medians over rounds in which all take turns.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import queues
from benchmarks.payments import ROOT, Payments, play_compiled, play_payments
from benchmarks.queues import Candidate, Queue, Round
from scenarios import compiling
from scenarios.errors import LabError
from simulator.analysis import Estimate, mean_of

OURS, SIMPY, CIW, SALABIM, RECURSION = "agenda (ours)", "SimPy, process + Resource", "Ciw", "salabim", "numba recursion"
CANDIDATES: Mapping[str, tuple[Candidate, int]] = {
    OURS: (queues.agenda, 200_000),
    SIMPY: (queues.simpy_resource, 60_000),
    CIW: (queues.ciw_network, 30_000),
    SALABIM: (queues.salabim_components, 3_000),
    RECURSION: (queues.recursion, 10_000_000),
}
"""Customers of each in a round, so that none takes much more than a second."""
QUEUES = (Queue(1, 0.7), Queue(4, 0.7))
ROUNDS = 5
WARM_UP, BATCHES, LEVEL = 0.1, 10, 0.99
COMPARED = 50_000


@dataclass(frozen=True)
class Speed:
    """One candidate at one queue: median customers a CPU second, and the mean stay with its interval."""

    queue: str
    candidate: str
    per_cpu_s: float
    stay_s: Estimate
    truth_s: float

    @property
    def is_right(self) -> bool:
        """Whether the formula's answer is within the interval."""
        return self.stay_s.covers(self.truth_s)


@dataclass(frozen=True)
class Found:
    """Everything that was measured. `payments` by their load; `compiled`: the same, if there is a compiler.

    `differences_s`: the most that agenda and recursion disagree about a customer.
    """

    speeds: tuple[Speed, ...]
    differences_s: Mapping[str, float]
    payments: Mapping[str, Payments]
    compiled: Mapping[str, Payments]

    def ratio(self, ours: str, theirs: str) -> float:
        """The smallest ratio of two candidates' speeds over the queues."""
        return min(self._of(queue, ours) / self._of(queue, theirs) for queue in self.queues)

    def slowest(self, candidate: str) -> float:
        """A candidate's speed at the queue that it is slowest at."""
        return min(self._of(queue, candidate) for queue in self.queues)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues' names."""
        return tuple(dict.fromkeys(speed.queue for speed in self.speeds))

    @property
    def wrong(self) -> int:
        """How many answers do not cover the formula's."""
        return sum(not speed.is_right for speed in self.speeds)

    def _of(self, queue: str, candidate: str) -> float:
        return next(each.per_cpu_s for each in self.speeds if (each.queue, each.candidate) == (queue, candidate))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        rows = [
            {
                "queue": each.queue, "candidate": each.candidate, "per_cpu_s": each.per_cpu_s, "truth_s": each.truth_s,
                "stay_s": each.stay_s.value, "low_s": each.stay_s.low, "high_s": each.stay_s.high,
            }
            for each in self.speeds
        ]  # fmt: skip
        return {
            "queues": rows,
            "largest_difference_s": dict(self.differences_s),
            "payments": {name: vars(each) for name, each in self.payments.items()},
            "payments_compiled": {name: vars(each) for name, each in self.compiled.items()},
        }


def measure(console: Console) -> Found:
    """Run everything (a minute and a half of CPU time, two more if the model has to be compiled) and print it."""
    speeds: list[Speed] = []
    differences_s: dict[str, float] = {}
    for queue in QUEUES:
        found = _compared(queue)
        differences_s[queue.name] = queues.largest_difference_s(queue, COMPARED, seed=1)
        console.print(_table(queue, found, differences_s[queue.name]))
        speeds += found
    payments, compiled = play_payments(), _played_compiled(console)
    console.print(_payments_table(payments, compiled))
    return Found(tuple(speeds), differences_s, payments, compiled)


def _played_compiled(console: Console) -> Mapping[str, Payments]:
    """With the compiled model; nothing if it cannot be compiled here."""
    folder = ROOT / compiling.FOLDER
    try:
        if not compiling.is_current(folder):
            console.print(f"compiling the model into {compiling.FOLDER} (about two minutes) ...")
            compiling.compile_model(folder, lambda done, of: None)
    except LabError as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return {}
    return play_compiled(folder)


def _compared(queue: Queue) -> list[Speed]:
    rounds: dict[str, list[Round]] = {name: [] for name in CANDIDATES}
    for number in range(ROUNDS):
        names = list(CANDIDATES)
        for name in names if number % 2 == 0 else reversed(names):
            candidate, customers = CANDIDATES[name]
            rounds[name].append(candidate(queue, customers, number + 1))
    return [
        Speed(queue.name, name, median(len(each.stayed_s) / each.cpu_s for each in taken), stay(taken), queue.stay_s)
        for name, taken in rounds.items()
    ]


def stay(rounds: Sequence[Round]) -> Estimate:
    """The mean stay of all rounds, from batch means within each: rounds are independent, batches nearly so."""
    means: list[float] = []
    for each in rounds:
        kept = each.stayed_s[int(len(each.stayed_s) * WARM_UP) :]
        size = len(kept) // BATCHES
        means += kept[: size * BATCHES].reshape(BATCHES, size).mean(axis=1).tolist()
    return mean_of(np.asarray(means), LEVEL)


def _table(queue: Queue, speeds: Sequence[Speed], difference_s: float) -> Table:
    title = (
        f"{queue.name}: mean stay by Erlang's formula {queue.stay_s:.4f} s; agenda and recursion differ by at most "
        f"{difference_s:.1e} s for any of {COMPARED} customers"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("candidate")
    for column in ("visits per CPU s", "ratio", f"mean stay, {LEVEL:.0%} interval", "right"):
        table.add_column(column, justify="right")
    first = speeds[0].per_cpu_s
    for speed in speeds:
        ratio = speed.per_cpu_s / first
        table.add_row(
            speed.candidate, f"{speed.per_cpu_s:,.0f}", f"{ratio:.3g}" if math.isfinite(ratio) else "",
            f"{speed.stay_s.value:.4f} [{speed.stay_s.low:.4f}, {speed.stay_s.high:.4f}]",
            "yes" if speed.is_right else "NO",
        )  # fmt: skip
    return table


def _payments_table(payments: Mapping[str, Payments], compiled: Mapping[str, Payments]) -> Table:
    first = next(iter(payments.values()))
    title = f"whole model: payments at {first.rate_per_s:g} a second; medians of {first.rounds} rounds"
    table = Table(title=title, title_justify="left")
    table.add_column("load")
    for column in ("payments per CPU s", "settled", "CPU s", "p99 s", "requests a payment", "agenda entries a payment"):
        table.add_column(column, justify="right")
    named = {**payments, **{f"{load}, compiled": each for load, each in compiled.items()}}
    for load, each in named.items():
        table.add_row(
            load, f"{each.per_cpu_s:,.0f}", f"{each.settled:,}", f"{each.cpu_s:.2f}", f"{each.p99_s:.3f}",
            f"{each.visits:.1f}", f"{each.entries:.0f}",
        )  # fmt: skip
    return table
