"""Make a failing plan small: as few faults as possible, then as few replicas, then as few customers.

Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002): leave out half, a
quarter, an eighth ... of the list, keep what still fails in the same way, until no single piece can be left out. Faults
draw their luck from streams of their own, so that one left out does not change what the others do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from scenarios.fuzz.plan import FuzzPlan
from scenarios.fuzz.play import CHECKS, Judged, judge_one, shows
from scenarios.plan import PlannedFault

T = TypeVar("T")
TRIES_MAX = 400
"""Enough for a dozen faults and two dozen attempts; a shrunk plan that could be smaller is better than none."""


@dataclass(frozen=True)
class Shrunk:
    """The smallest plan found that shows `finding`, what it shows when played, and how many plans were tried."""

    judged: Judged
    finding: str
    tries: int

    @property
    def plan(self) -> FuzzPlan:
        """The plan itself."""
        return self.judged.played.plan


def shrink(judged: Judged) -> Shrunk:
    """Shrink a run that has findings. Always the same result for the same run."""
    search = _Search(_aim(judged))
    plan, before = judged.played.plan, None
    while plan != before:
        before = plan
        plan = search.fewer_faults(plan)
        plan = search.fewer_replicas(plan)
        plan = search.fewer_attempts(plan)
    return Shrunk(judge_one(plan), search.finding, search.tries)


def ddmin(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """A part of `items` that still fails and of which nothing can be left out. `items` itself must fail."""
    if not items or fails([]):
        return []
    kept, parts = list(items), 2
    while len(kept) > 1:
        size = -(-len(kept) // parts)
        smaller = next((rest for rest in _without_a_part(kept, size) if fails(rest)), None)
        if smaller is not None:
            kept, parts = smaller, max(2, parts - 1)
        elif size == 1:
            break
        else:
            parts = min(len(kept), 2 * parts)
    return kept


def _without_a_part(items: list[T], size: int) -> list[list[T]]:
    return [items[:start] + items[start + size :] for start in range(0, len(items), size)]


def _aim(judged: Judged) -> str:
    """The finding to keep: what a check says before what convergence says, for it ends sooner and says more."""
    names = [finding.name for finding in judged.findings]
    return next((name for name in names if name.startswith(CHECKS)), names[0])


@dataclass
class _Search:
    finding: str
    tries: int = 0
    known: dict[str, bool] = field(default_factory=dict)

    def fails(self, plan: FuzzPlan) -> bool:
        """Whether the plan shows the finding; out of tries, no more does."""
        document = plan.to_json()
        if document not in self.known:
            if self.tries >= TRIES_MAX:
                return False
            self.tries += 1
            self.known[document] = shows(plan, self.finding)
        return self.known[document]

    def fewer_faults(self, plan: FuzzPlan) -> FuzzPlan:
        kept = ddmin(plan.faults, lambda faults: self.fails(replace(plan, faults=tuple(faults))))
        return replace(plan, faults=tuple(kept))

    def fewer_attempts(self, plan: FuzzPlan) -> FuzzPlan:
        every = [(purchase.key, number) for purchase in plan.purchases for number, _ in enumerate(purchase.attempts)]
        return plan.with_only(set(ddmin(every, lambda some: self.fails(plan.with_only(set(some))))))

    def fewer_replicas(self, plan: FuzzPlan) -> FuzzPlan:
        """Fewer replicas of each service; faults of one that is no more hit the last that is left."""
        for service, before in sorted(plan.replicas.items()):
            smaller = (_with_replicas(plan, service, count) for count in range(1, before))
            plan = next((each for each in smaller if self.fails(each)), plan)
        return plan


def _with_replicas(plan: FuzzPlan, service: str, count: int) -> FuzzPlan:
    faults = tuple(_moved(fault, service, count - 1) for fault in plan.faults)
    return replace(plan, replicas={**plan.replicas, service: count}, faults=faults)


def _moved(fault: PlannedFault, service: str, last: int) -> PlannedFault:
    where = fault.parameters
    if where.get("service") != service or "replica" not in where or where["replica"] <= last:
        return fault
    return replace(fault, parameters={**where, "replica": last})
