"""What may be said of a simulation's output, and how certainly.

    estimates = replicate(run, Precision(relative=0.05))          # run(seed) -> {metric: value}, until narrow enough
    found = long_run(observations, relative=0.05)                 # one run, batch means, until narrow enough
    cut = warm_up(series)                                         # MSER-5 on averaged replications
    differences = compare({"two": run_two, "three": run_three})   # same luck for both, paired differences

A figure without an interval is an anecdote: everything here comes as an `Estimate`. Student's t, order statistics and
paired tests are scipy's; what is here is what it lacks: where the warm-up ends, when to stop, and what to pair.
"""

from simulator.analysis.estimates import Estimate, batch_means, mean_of, paired, quantile_of
from simulator.analysis.long_run import LongRun, long_run
from simulator.analysis.replications import Precision, Replications, replicate
from simulator.analysis.scalability import Scalability, fit_scalability
from simulator.analysis.variants import Comparison, compare
from simulator.analysis.warmup import mser, warm_up

__all__ = [
    "Comparison", "Estimate", "LongRun", "Precision", "Replications", "Scalability", "batch_means", "compare",
    "fit_scalability", "long_run", "mean_of", "mser", "paired", "quantile_of", "replicate", "warm_up",
]  # fmt: skip
