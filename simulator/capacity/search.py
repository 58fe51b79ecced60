"""The search: from the cheapest vector upwards, until one is shown to meet the objective; then on, for a runner-up.

Cheaper vectors are discarded for one of three reasons, and each is counted: the utilisation law forbids them, they are
screened far above the objective, or simulation shows that they miss it. More replicas never make it worse, so a vector
that misses takes everything smaller with it, and one that meets it vouches for everything larger.
"""

from collections import Counter
from dataclasses import dataclass, field

from simulator.capacity.candidates import Candidate, Counts, Field, as_vector, covers
from simulator.capacity.jury import Judged, Jury

FAR = 1.5
"""A vector that is screened at so many times the objective's p99 is not simulated."""


@dataclass
class Found:
    """What the search came to; `discarded` counts the vectors before the answer by the reason.

    `complete`: it was not cut short by the effort that was allowed.
    """

    answer: Candidate | None = None
    runner_up: Candidate | None = None
    discarded: Counter[str] = field(default_factory=Counter)
    complete: bool = True


class Search:
    """One search on one field."""

    def __init__(self, where: Field, jury: Jury) -> None:
        self._field, self._jury = where, jury
        self._missed: list[Counts] = []
        self._met: list[Counts] = []

    def run(self) -> Found:
        """The cheapest candidate that is shown to meet the objective, and the next one."""
        found = Found()
        for group in self._field.by_cost():
            for candidate in group:
                if len(self._missed) + len(self._met) >= self._jury.stage.effort.vectors_max:
                    found.complete = False
                    return found
                if not self._stands(candidate, found):
                    continue
                if found.answer is not None:
                    found.runner_up = candidate
                    return found
                found.answer = candidate
        return found

    def simulated(self, counts: Counts) -> Judged | None:
        """What is known of a vector by simulation."""
        return self._jury.known(as_vector(counts, self._field.table.fixed))

    def _stands(self, candidate: Candidate, found: Found) -> bool:
        reason = self._discard(candidate)
        if reason and found.answer is None:
            found.discarded[reason] += 1
        return not reason

    def _discard(self, candidate: Candidate) -> str:
        objective = self._field.objective
        wanted = [dict(candidate.counts), *candidate.degraded()]
        if any(covers(missed, counts) for counts in wanted for missed in self._missed):
            return "simulated, or smaller than one that was"
        # The allowance is learned along the way, so what was screened before is looked at again.
        worst_s = max(self._field.screen.p99_s(counts, objective.rate_per_s) for counts in wanted)
        if worst_s > FAR * objective.p99_s:
            return f"screened above {FAR:g} times the p99"
        return "" if self._all_meet(wanted) else "simulated, or smaller than one that was"

    def _all_meet(self, wanted: list[Counts]) -> bool:
        """Simulate what is not yet vouched for."""
        left = [counts for counts in wanted if not any(covers(counts, met) for met in self._met)]
        trials = [self._jury.trial(as_vector(counts, self._field.table.fixed)) for counts in left]
        judged = self._jury.judge(trials)
        for counts, each in zip(left, judged, strict=True):
            (self._met if each.meets else self._missed).append(counts)
        if judged:
            slowest = max(zip(left, judged, strict=True), key=lambda pair: pair[1].p99_s.value)
            self._field.screen.learn(slowest[0], self._field.objective.rate_per_s, slowest[1].p99_s.value)
        return all(each.meets for each in judged)
