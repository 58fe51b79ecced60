"""How much longer work takes that begins on a core which has been idle: found from accounts at different loads.

A window's accounts hold the same visits at whatever load; if one costs less where more is going on, that is because
fewer of them had to wake a core. How many have to is no account's to say: the model plays the same plan with and
without the waking (`simulator.hosts.Host`), and the difference is each process' share. The waking itself is then the
figure with which everything else explains the accounts best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from scipy import optimize, stats

from scenarios.calibrate.experiments import Segment
from scenarios.calibrate.fitting import Demands, Stretch
from scenarios.calibrate.windows import samples
from scenarios.history import History
from simulator.analysis.estimates import LEVEL, Estimate

WAKING_MAX = 3.0
WAKING_MIN = 0.3
"""A smaller figure is no good for asking the model for shares; they hardly depend on it."""
BOUND_TOLERANCE = 0.005

Shares = Sequence[Mapping[str, float]]
"""One a window: process -> the share of its work that began on an idle core."""


@dataclass(frozen=True)
class Waking:
    """The figure with its interval, and what else explains the accounts when it is taken so."""

    estimate: Estimate
    demands: Demands


def guessed(fit: Callable[[Sequence[Stretch]], Demands], processes: Iterable[str], windows: int) -> Waking:
    """Where to begin: everybody always wakes a core, and it takes WAKING_MIN longer."""
    always = dict.fromkeys(processes, 1 + WAKING_MIN)
    return Waking(Estimate(WAKING_MIN, 0.0, WAKING_MAX, 0), fit([always] * windows))


def shares(without: History, woken: History, figure: float, segments: Sequence[Segment]) -> list[dict[str, float]]:
    """From the same plan played by a model in which waking takes no time, and by one in which it takes `figure`.

    Both without idle work. A share is between 0 and 1, which few visits with varying demands may seem to leave. Where
    the model has nothing to do in a window, the process' largest share of all counts: such windows hold one thing at a
    time.
    """
    found = [
        {
            process: min(1.0, max(0.0, (used[process] - least_s) / (figure * least_s)))
            for process, least_s in least.items()
            if least_s > 0 and process in used
        }
        for least, used in zip(_used(without, segments), _used(woken, segments), strict=True)
    ]
    largest: dict[str, float] = {}
    for window in found:
        for process, share in window.items():
            largest[process] = max(share, largest.get(process, 0.0))
    return [{**largest, **window} for window in found]


def waking(fit: Callable[[Sequence[Stretch]], Demands], found: Shares, windows: int) -> Waking:
    """The waking that leaves the least unexplained, between 0 and WAKING_MAX; `fit` finds the demands for a stretch.

    Its interval holds every figure that explains the accounts about as well (profile likelihood).
    """

    def fitted(figure: float) -> Demands:
        return fit([{process: 1 + figure * share for process, share in window.items()} for window in found])

    def misfit(figure: float) -> float:
        return fitted(figure).misfit

    best = float(optimize.minimize_scalar(misfit, bounds=(0.0, WAKING_MAX), method="bounded").x)
    best = 0.0 if misfit(0.0) <= misfit(best) else best
    demands = fitted(best)
    freedom = max(1, windows * len(demands.fits) - sum(len(each.terms) for each in demands.fits.values()))
    excess = max(1.0, demands.misfit / freedom)
    bearable = demands.misfit + excess * float(stats.chi2.ppf(LEVEL, 1))

    def bound(end: float) -> float:
        if misfit(end) <= bearable:
            return end
        return float(optimize.brentq(lambda figure: misfit(figure) - bearable, best, end, xtol=BOUND_TOLERANCE))

    return Waking(Estimate(best, bound(0.0), bound(WAKING_MAX), windows), demands)


def _used(history: History, segments: Sequence[Segment]) -> list[dict[str, float]]:
    table = samples(history)
    middle_s = (table["from_s"] + table["at_s"]) / 2
    found = []
    for segment in segments:
        inside = table[(middle_s >= segment.start_s) & (middle_s < segment.until_s)]
        found.append({str(name): float(cpu_s) for name, cpu_s in inside.groupby("process")["cpu_s"].sum().items()})
    return found
