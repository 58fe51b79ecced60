"""What is no regression: hops, commits, starting, memory, and how much own times vary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from scenarios.calibrate.document import VARIATION_ASSUMED, Measured
from scenarios.calibrate.graph import COMMIT, Graph, Place
from scenarios.calibrate.machine import cores
from scenarios.calibrate.probe import Commits
from scenarios.calibrate.regression import Fit, fit, guessed
from scenarios.calibrate.windows import Window, samples
from scenarios.history import History
from simulator.analysis.estimates import LEVEL, Estimate, quantile_of
from simulator.calibration import DEFAULT_ROUTE, LAB, Calibration

OBSERVATIONS_MIN = 20
HOP_S_MIN = 0.00002
VARIATION_MAX = 1.5
# Of a normal distribution, the distance of the quartiles is so many standard deviations.
QUARTILES_IN_DEVIATIONS = 1.349
DATABASE_SERVER = "mariadb"
DATABASE_GUESS_S = 0.001


def measured(
    history: History,
    windows: Sequence[Window],
    graph: Graph,
    call_cpu_s: float,
    commits: Commits | None,
    assumed: Calibration,
) -> Measured:
    """All of it; what these runs cannot tell is taken from `assumed`. `commits`: from a probe, if there was one."""
    hop_s, hop_variation = hop(graph, call_cpu_s, assumed)
    server = database(windows, graph)
    return Measured(
        cores=cores(),
        hop_s=hop_s,
        hop_variation=hop_variation,
        commit_cpu_s=_median(commits.cpu_s) if commits else known(assumed.commit_cpu_s),
        commit_wait_s=_median(commits.wait_s) if commits else commit_wait(graph, assumed),
        database_cpu_s=server.terms[COMMIT].estimate if server else Estimate(0.0, 0.0, 0.0, 1),
        startup_s=startup(history, assumed),
        rss_bytes=rss_bytes(history),
        variations=variations(graph),
    )


def known(value: float) -> Estimate:
    """A figure that nobody observed: no interval to be proud of."""
    return Estimate(value, 0.0, 2 * value, 0)


def hop(graph: Graph, call_cpu_s: float, assumed: Calibration) -> tuple[Estimate, float]:
    """One way, and its coefficient of variation. What caller and callee did not see, less the caller's own work."""
    times_s = numpy.array(graph.hops_s) - call_cpu_s / 2
    if len(times_s) < OBSERVATIONS_MIN:
        return known(assumed.hop_s), assumed.hop_variation
    # The lower quartile: everything that goes wrong on a shared machine makes a hop seem longer.
    quartile = quantile_of(times_s, 0.25)
    value, low, high = (max(HOP_S_MIN, each) for each in (quartile.value, quartile.low, quartile.high))
    return Estimate(value, low, high, len(times_s)), assumed.hop_variation


def variations(graph: Graph) -> dict[Place, float]:
    """The coefficient of variation of own times, from their quartiles; strangers on the machine are in the tails."""
    found = {}
    for place, times_s in graph.own_s.items():
        if len(times_s) >= OBSERVATIONS_MIN // 2:
            low_s, middle_s, high_s = numpy.quantile(times_s, (0.25, 0.5, 0.75))
            spread = (high_s - low_s) / QUARTILES_IN_DEVIATIONS / middle_s if middle_s > 0 else VARIATION_ASSUMED
            found[place] = float(min(spread, VARIATION_MAX))
    return found


def commit_wait(graph: Graph, assumed: Calibration) -> Estimate:
    """Without a probe: the shorter transactions, statements included, for a database server is waited for anyway."""
    times_s = [each for place, own_s in graph.own_s.items() if place.what == COMMIT for each in own_s]
    return quantile_of(times_s, 0.25) if len(times_s) >= OBSERVATIONS_MIN else known(assumed.commit_wait_s)


def database(windows: Sequence[Window], graph: Graph) -> Fit | None:
    """CPU of the database server for a commit, if there is a server."""
    if not any(DATABASE_SERVER in window.cpu_s for window in windows):
        return None
    counts = [graph.counts(window.operations) for window in windows]
    made = [sum(n for place, n in each.items() if place.what == COMMIT) for each in counts]
    rows = [{"idle": window.duration_s, COMMIT: number} for window, number in zip(windows, made, strict=True)]
    used_s = [window.cpu_s.get(DATABASE_SERVER, 0.0) for window in windows]
    return fit([guessed("idle", 0.02), guessed(COMMIT, DATABASE_GUESS_S)], rows, used_s)


def startup(history: History, assumed: Calibration) -> dict[str, float]:
    """From exec to ready of those that were restarted alone; their mean is everybody else's."""
    began: dict[str, float] = {}
    taken: dict[str, float] = {}
    for row in history["services"].sort_values("at_s").to_dict("records"):
        if row["event"] == "restarted":
            began[row["replica"]] = row["at_s"]
        elif row["event"] == "ready" and row["replica"] in began:
            taken[row["service"]] = row["at_s"] - began.pop(row["replica"])
    default = float(numpy.mean(list(taken.values()))) if taken else assumed.startup_s[DEFAULT_ROUTE]
    return {DEFAULT_ROUTE: default, **taken}


def rss_bytes(history: History) -> int:
    """What a process of the platform has resident."""
    table = samples(history)
    resident = table[(table["process"] != LAB) & (table["rss_bytes"] > 0)]["rss_bytes"]
    return int(resident.median()) if len(resident) else 0


def _median(values_s: Sequence[float]) -> Estimate:
    return quantile_of(values_s, 0.5, LEVEL)
