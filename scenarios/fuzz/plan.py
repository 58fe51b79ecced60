"""What one fuzz run does: the platform's size and settings, who buys what, and what breaks. Data, kept as JSON.

Everything that can go wrong is over at `calm_s`; from then on the platform has SETTLE_S_MAX to put everything right, a
new payment included (`PROBE`).
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from scenarios.errors import LabError
from scenarios.plan import PlannedFault
from settlement.protocol.crashpoints import CRASH_POINTS
from settlement.settings import SETTINGS
from settlement.topology import SERVICES
from simulator.inputs import Attempt, Purchase
from simulator.timeline import FAULT_KINDS, LINK_KINDS, SWITCH_KINDS

FORMAT = 1
STARTUP_S = 0.3
SETTLE_S_MAX = 30.0
"""Several times the longest chain of lease, recovery round, retries and inquiries that the drawn settings allow."""

PROBE_KEY, PROBE_USER, PROBE_GOODS, GOODS_COUNT = "probe", 1_000, 4, 6
"""After the storm a customer nobody met before buys goods nobody else wanted, and must succeed."""

_PARAMETERS: dict[str, frozenset[str]] = {
    "latency": frozenset({"delay_ms"}), "error": frozenset({"status"}), "drop_reply": frozenset(),
    "loss": frozenset(), "duplicate": frozenset({"within_ms"}), "reorder": frozenset({"within_ms"}),
    "pause": frozenset(), "slow_disk": frozenset({"delay_ms"}), "clock_skew": frozenset({"offset_ms"}),
    "kill": frozenset({"restart_after_s"}), "crash_at": frozenset({"restart_after_s", "point", "nth"}),
}  # fmt: skip


class BadPlan(LabError):
    """A plan file that is none; `problems` are all that is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class FuzzPlan:
    """One run. `storm_s`: how long faults begin and customers come. Times in seconds from its start."""

    seed: int
    storm_s: float
    replicas: dict[str, int]
    settings: dict[str, Any]
    purchases: tuple[Purchase, ...]
    faults: tuple[PlannedFault, ...]

    @property
    def calm_s(self) -> float:
        """When the last fault is over, the last process up again, and the last sync done that a slow disk has begun."""
        ends_s = [_end_s(fault, self.storm_s) + self._under_way_s(fault) for fault in self.faults]
        return max([self.storm_s, *ends_s]) + STARTUP_S

    def _under_way_s(self, fault: PlannedFault) -> float:
        """How long at most a sync takes that began just before a slow disk was fast again; its delays add up."""
        if fault.kind != "slow_disk":
            return 0.0
        of = (fault.parameters["service"], fault.parameters["replica"])
        slow = [each.parameters for each in self.faults if each.kind == "slow_disk"]
        return sum(float(each["delay_ms"]) for each in slow if (each["service"], each["replica"]) == of) / 1000

    @property
    def probe(self) -> Purchase:
        """The purchase that has to succeed in the calm."""
        attempt = Attempt(PROBE_KEY, "pay", 0.0, "balance")
        return Purchase(PROBE_KEY, self.calm_s, PROBE_USER, PROBE_GOODS, 1, (attempt,))

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every money operation that somebody tries, in order."""
        return tuple(attempt for purchase in self.purchases for attempt in purchase.attempts)

    def with_only(self, attempts: set[tuple[str, int]]) -> "FuzzPlan":
        """The same with some attempts only, by (purchase, position); purchases without any are left out."""
        kept = (_pruned(purchase, attempts) for purchase in self.purchases)
        return replace(self, purchases=tuple(purchase for purchase in kept if purchase.attempts))

    def to_json(self) -> str:
        """One JSON document, from which `from_json` makes an equal plan."""
        return json.dumps({"paylab_fuzz": FORMAT, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "FuzzPlan":
        """The plan that `to_json` wrote. Raises BadPlan with everything that is wrong with it."""
        try:
            plan = cls._parsed(json.loads(text))
        except json.JSONDecodeError as error:
            raise BadPlan([f"not JSON: {error}"]) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadPlan([f"not a plan of `paylab fuzz`: {type(error).__name__}: {error}"]) from error
        problems = list(_problems(plan))
        if problems:
            raise BadPlan(problems)
        return plan

    @classmethod
    def _parsed(cls, data: dict[str, Any]) -> "FuzzPlan":
        if data.pop("paylab_fuzz") != FORMAT:
            raise ValueError(f"paylab_fuzz is not {FORMAT}")
        purchases = [
            Purchase(**{**row, "attempts": tuple(Attempt(**attempt) for attempt in row["attempts"])})
            for row in data.pop("purchases")
        ]
        faults = tuple(PlannedFault(**row) for row in data.pop("faults"))
        return cls(**data, purchases=tuple(purchases), faults=faults)


def _end_s(fault: PlannedFault, storm_s: float) -> float:
    restart_after_s = float(fault.parameters.get("restart_after_s", 0.0))
    # A crash point may be reached as late as at the end of the storm.
    return (storm_s if fault.kind == "crash_at" else fault.until_s) + restart_after_s


def _pruned(purchase: Purchase, wanted: set[tuple[str, int]]) -> Purchase:
    kept = (attempt for number, attempt in enumerate(purchase.attempts) if (purchase.key, number) in wanted)
    return replace(purchase, attempts=tuple(kept))


def _problems(plan: FuzzPlan) -> Iterator[str]:
    for name in plan.settings:
        if name not in SETTINGS:
            yield f"settings.{name}: no such setting"
    for service, count in plan.replicas.items():
        if service not in SERVICES or not 1 <= count <= 9:
            yield f"replicas.{service}: {count}; expected a service and 1 to 9 replicas"
    keys = [purchase.key for purchase in plan.purchases]
    for purchase in plan.purchases:
        yield from _purchase_problems(purchase, keys.count(purchase.key))
    for fault in plan.faults:
        yield from (f"faults.{fault.id}: {problem}" for problem in _fault_problems(fault, plan.replicas))


def _purchase_problems(purchase: Purchase, times: int) -> Iterator[str]:
    if times > 1 or purchase.key == PROBE_KEY:
        yield f"purchases.{purchase.key}: a key for one purchase only"
    if not 1 <= purchase.goods_id <= GOODS_COUNT or purchase.count < 1 or purchase.at_s < 0:
        yield f"purchases.{purchase.key}: expected goods 1 to {GOODS_COUNT}, one piece or more, at 0 s or later"
    if not purchase.attempts or any(attempt.kind not in ("pay", "refund") for attempt in purchase.attempts):
        yield f"purchases.{purchase.key}: expected attempts to pay or refund"


def _fault_problems(fault: PlannedFault, replicas: dict[str, int]) -> Iterator[str]:
    if fault.kind not in FAULT_KINDS:
        yield f"unknown kind {fault.kind!r}; known: {', '.join(sorted(FAULT_KINDS))}"
        return
    where = {"from", "to"} if fault.kind in LINK_KINDS and "route" not in fault.parameters else {"service"}
    missing = (_PARAMETERS[fault.kind] | where) - set(fault.parameters)
    if missing:
        yield f"{fault.kind} without {', '.join(sorted(missing))}"
        return
    if fault.kind not in LINK_KINDS:
        service, number = fault.parameters["service"], fault.parameters.get("replica") or 0
        if service not in SERVICES or not 0 <= number < replicas.get(service, 1):
            yield f"{service}-{number} is no replica of this platform"
    if fault.kind == "crash_at" and fault.parameters["point"] not in CRASH_POINTS:
        yield f"unknown crash point {fault.parameters['point']!r}"
    if fault.at_s < 0 or fault.until_s < fault.at_s or (fault.kind in SWITCH_KINDS and fault.until_s == fault.at_s):
        yield f"from {fault.at_s} s to {fault.until_s} s; expected a start and a later end"
