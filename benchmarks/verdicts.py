"""Figures against their budgets, as tables for people."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from benchmarks.ladder import RUNGS, Rung, median_at_knee
from benchmarks.measure import Figure
from benchmarks.payments import GIVEN
from benchmarks.profiles import Profile
from benchmarks.saturation import OTHERS, Climb
from benchmarks.simulator_speed import CIW, OURS, RECURSION, SIMPY, Found
from benchmarks.systems import FLOOR, PLATFORM, TWO_PHASE

READY_S_MAX = 6.0
RESIDENT_MIB_MAX = 1024.0
SETTLED_PER_S_MIN = 60.0
OF_FLOOR_MIN = 0.4
OF_NO_COORDINATOR_MIN = 0.6
RECORDER_MIN = 0.8
OF_SIMPY_MIN, OF_CIW_MIN = 2.0, 4.0
SCREENED_PER_CPU_S_MIN = 15e6
AGREE_S_MAX = 1e-6
PAYMENTS_PER_CPU_S_MIN = 3000.0
# Above this many cores used by other programs, rates say more about them than about us.
OTHERS_CORES_MAX = 0.2


@dataclass(frozen=True)
class Budget:
    """One figure and its limit. `at_least`: the figure must not be lower; otherwise it must not be higher."""

    name: str
    value: float
    limit: float
    at_least: bool

    @property
    def kept(self) -> bool:
        """Whether the figure keeps its limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def start_budgets(ready_s: float, resident_bytes: int) -> list[Budget]:
    """What the platform needs before anybody pays."""
    return [
        Budget("seconds until all services are ready", ready_s, READY_S_MAX, at_least=False),
        Budget("MiB resident, all services, idle", resident_bytes / 2**20, RESIDENT_MIB_MAX, at_least=False),
    ]


def knee_budgets(climbs: Sequence[Climb]) -> list[Budget]:
    """The platform and its floor, medians over the rounds."""
    rate = {name: median_at_knee(climbs, name) for name in (PLATFORM, FLOOR)}
    return [
        Budget("settled payments/s at the knee", rate[PLATFORM], SETTLED_PER_S_MIN, at_least=True),
        Budget("the same as a share of the floor's", rate[PLATFORM] / rate[FLOOR], OF_FLOOR_MIN, at_least=True),
    ]


def ladder_budgets(rungs: Sequence[Rung]) -> list[Budget]:
    """What two-phase commit may cost."""
    ratio = {rung.name: rung.ratio for rung in rungs}
    return [
        Budget(f"{name}, share of no coordinator", ratio[name], OF_NO_COORDINATOR_MIN, at_least=True)
        for name in (RUNGS[TWO_PHASE], RUNGS[PLATFORM])
    ]


def recorder_budget(bare: Figure, recorded: Figure) -> Budget:
    """What our Locust user keeps of a bare one's requests per CPU second."""
    share = recorded.per_cpu_s / bare.per_cpu_s
    return Budget("Locust user with recorder, share of a bare one", share, RECORDER_MIN, at_least=True)


def simulator_budgets(found: Found) -> list[Budget]:
    """The simulator beside its peers, at the queue where it does worst, and as a whole."""
    differ_s = max(found.differences_s.values())
    # A full payment, the protocol included, is the budget's; what a client does before it is printed beside it. And it
    # is the compiled model's: whoever plays so many that it matters compiles it.
    full, how = (found.compiled[GIVEN], "compiled") if found.compiled else (found.payments[GIVEN], "interpreted")
    failed = sum(each.failed for each in (*found.payments.values(), *found.compiled.values()))
    return [
        Budget("visits per CPU s, times idiomatic SimPy's", found.ratio(OURS, SIMPY), OF_SIMPY_MIN, at_least=True),
        Budget("visits per CPU s, times Ciw's", found.ratio(OURS, CIW), OF_CIW_MIN, at_least=True),
        Budget("answers that miss the formula", found.wrong, 0, at_least=False),
        Budget("screened customers per CPU s", found.slowest(RECURSION), SCREENED_PER_CPU_S_MIN, at_least=True),
        Budget("s between agenda and recursion, any customer", differ_s, AGREE_S_MAX, at_least=False),
        Budget(f"simulated full payments per CPU s, {how}", full.per_cpu_s, PAYMENTS_PER_CPU_S_MIN, at_least=True),
        Budget("simulated payments that failed", failed, 0, at_least=False),
    ]


def summary_table(judged: Sequence[Budget]) -> Table:
    """Every budget and whether it is kept."""
    table = _table("budgets", "budget", ("measured", "limit", "kept"))
    for budget in judged:
        limit = f"{'>=' if budget.at_least else '<='} {_shown(budget.limit)}"
        table.add_row(budget.name, _shown(budget.value), limit, "yes" if budget.kept else "NO")
    return table


def _shown(value: float) -> str:
    """Two decimals, but for what is far from one."""
    if value and not 1e-2 <= abs(value) < 1e4:
        return f"{value:,.0f}" if abs(value) >= 1 else f"{value:.0e}"
    return f"{value:.2f}".removesuffix(".00")


def climb_table(climb: Climb) -> Table:
    """The steps of one climb with the cores that each process used; the knee's row is marked."""
    names = list(climb.steps[0].cores)
    columns = ("settled/s", "p99 ms", "CPU ms each", *(name.removesuffix("-0") for name in names))
    table = _table(_title(climb), "offered/s", columns)
    for step in climb.steps:
        mark = " <- knee" if step is climb.knee else ""
        cores = [f"{step.cores.get(name, 0.0):.2f}" for name in names]
        figures = (f"{step.settled_per_s:.0f}", f"{1000 * step.p99_s:.0f}", f"{step.cpu_ms_per_payment:.1f}")
        table.add_row(f"{step.offered_per_s:.0f}{mark}", *figures, *cores)
    return table


def _title(climb: Climb) -> str:
    cores = {name: used for name, used in climb.knee.cores.items() if name != OTHERS}
    busiest = max(cores, key=lambda name: cores[name]) if cores else "?"
    title = (
        f"{climb.system}: {climb.knee.settled_per_s:.0f} payments/s at the knee, at most {climb.peak_per_s:.0f}; "
        f"cores by process; busiest {busiest}"
    )
    others = statistics.median(step.cores.get(OTHERS, 0.0) for step in climb.steps)
    return title + (
        f"; other programs used {others:.1f} cores: repeat this in peace" if others > OTHERS_CORES_MAX else ""
    )


def ladder_table(rungs: Sequence[Rung]) -> Table:
    """The rungs, each with its share of the first."""
    columns = ("settled/s at the knee", "most settled/s", "CPU ms each", "ratio")
    table = _table("what two-phase commit costs (medians; the ratio is of payments/s at the knee)", "rung", columns)
    for rung in rungs:
        figures = (rung.settled_per_s, rung.peak_per_s, rung.cpu_ms_per_payment)
        table.add_row(rung.name, *(f"{figure:.1f}" for figure in figures), f"{rung.ratio:.2f}")
    return table


def profile_table(profiles: Sequence[Profile]) -> Table:
    """Each service's share of the services' CPU time, and which libraries it goes to."""
    table = _table("where the services' CPU time goes (cProfile)", "service", ("share", "libraries"))
    for profile in profiles:
        libraries = ", ".join(f"{name} {share:.0%}" for name, share in profile.libraries.items())
        table.add_row(profile.service, f"{profile.share:.0%}", libraries)
    return table


def _table(title: str, first: str, others: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="left" if name == "libraries" else "right")
    return table
