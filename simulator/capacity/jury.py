"""Judges replica vectors by simulation, and remembers: does this vector meet the objective, and how certainly?

Replications are made in rounds of fixed size, so that neither the number of workers nor who was faster changes what is
found. A vector meets the objective only if the *upper* end of its p99's interval does: what is not shown is not met.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite

from simulator.analysis import Estimate, mean_of
from simulator.capacity.playing import Kill, Stage, Trial, Vector, metrics_of
from simulator.capacity.question import Objective, Spread

FAR = 1.5
"""An interval that ends so many times below the objective is narrow enough as it is."""

LEFT_OVER_MAX = 0.1
"""A run at whose end so large a share of all payments is still under way has fallen behind."""

Rows = list[dict[str, float]]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Judged:
    """What simulation says of one trial. `meets`: shown to meet the objective; `why`: what it misses."""

    trial: Trial
    p99_s: Estimate
    success: Estimate
    rows: tuple[Mapping[str, float], ...]
    why: str

    @property
    def meets(self) -> bool:
        """Whether nothing was missed."""
        return not self.why

    @property
    def mean_s(self) -> float:
        """The mean latency over the replications."""
        return sum(row["mean_s"] for row in self.rows) / len(self.rows)

    @property
    def replications(self) -> int:
        """How many runs it took."""
        return len(self.rows)


class Jury:
    """All trials of one question; equal trials are played once."""

    def __init__(self, stage: Stage, objective: Objective, seed: int, spread: Spread, tell: Tell) -> None:
        self.stage, self.objective, self._seed, self._spread, self._tell = stage, objective, seed, spread, tell
        self._rows: dict[Trial, Rows] = {}
        self.payments = 0

    def trial(self, vector: Vector, rate_per_s: float | None = None, kill: Kill | None = None) -> Trial:
        """A trial at the objective's rate unless another is given."""
        rate_per_s = rate_per_s or self.objective.rate_per_s
        return Trial(vector, rate_per_s, self.stage.effort.measured_s(rate_per_s), kill)

    def known(self, vector: Vector) -> Judged | None:
        """What is known of a vector at the objective's rate, if it was played."""
        trial = self.trial(vector)
        return self._judged(trial) if trial in self._rows else None

    @property
    def played(self) -> list[Judged]:
        """Everything that was played at the objective's rate without a kill, in order."""
        return [
            self._judged(trial)
            for trial in self._rows
            if trial.rate_per_s == self.objective.rate_per_s and trial.kill is None and not trial.slower
        ]

    def judge(self, trials: Sequence[Trial], replications: int | None = None) -> list[Judged]:
        """Play all of them until each is decided (or exactly `replications` times)."""
        effort = self.stage.effort
        target = dict.fromkeys(trials, replications or effort.replications_min)
        while open_ := [trial for trial in target if len(self._rows.get(trial, [])) < target[trial]]:
            self._play((trial, target[trial]) for trial in open_)
            for trial in open_ if replications is None else ():
                if not self._decided(trial) and target[trial] < effort.replications_max:
                    target[trial] = min(effort.replications_max, target[trial] + effort.replications_min)
        return [self._judged(trial) for trial in trials]

    def _play(self, wanted: Iterable[tuple[Trial, int]]) -> None:
        jobs = [
            (trial, self._seed + number)
            for trial, target in wanted
            for number in range(len(self._rows.get(trial, [])), target)
        ]
        for (trial, _), row in zip(jobs, self._spread(partial(metrics_of, self.stage), jobs), strict=True):
            self._rows.setdefault(trial, []).append(row)
            self.payments += round(trial.rate_per_s * trial.measured_s)
        self._tell(f"simulated {self.payments:,} payments")

    def _decided(self, trial: Trial) -> bool:
        p99_s = _estimate(self._rows[trial], "p99_s")
        limit_s, precision = self.objective.p99_s, self.stage.effort.precision
        if p99_s.low > limit_s:
            return True
        # Far from the objective nothing hangs on the second digit.
        return p99_s.high <= limit_s and (p99_s.relative <= precision or p99_s.high <= limit_s / FAR)

    def _judged(self, trial: Trial) -> Judged:
        rows = self._rows[trial]
        p99_s, success = _estimate(rows, "p99_s"), _estimate(rows, "success")
        return Judged(trial, p99_s, success, tuple(rows), self._missed(p99_s, success, rows))

    def _missed(self, p99_s: Estimate, success: Estimate, rows: Rows) -> str:
        if mean_of([row["left_over"] for row in rows]).value > LEFT_OVER_MAX:
            return "falls behind the rate"
        if not p99_s.high <= self.objective.p99_s:
            return "p99 too long" if p99_s.low > self.objective.p99_s else "p99 not shown to be short enough"
        # What is asked of the success ratio is that of the whole; failing replicas are counted elsewhere.
        return "" if success.value >= self.objective.availability else "too many payments fail"


def met(row: Mapping[str, float], objective: Objective) -> bool:
    """Whether one replication, taken for itself, met the objective."""
    return (
        row["p99_s"] <= objective.p99_s
        and row["success"] >= objective.availability
        and row["left_over"] <= LEFT_OVER_MAX
    )


def _estimate(rows: Rows, metric: str) -> Estimate:
    values = [row[metric] for row in rows]
    if not all(map(isfinite, values)):
        return Estimate(float("inf"), float("inf"), float("inf"), len(values))
    return mean_of(values)
