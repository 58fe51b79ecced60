"""When to stop, what to cut, what to pair; and that workers change nothing."""

from functools import partial

import numpy as np
import pytest
from sim_tools.output_analysis import ReplicationsAlgorithm

from simulator.analysis import Precision, compare, mser, replicate, warm_up
from simulator.analysis.estimates import mean_of
from simulator.formulas import mg1_wait
from simulator.screening import screened


def _noisy(seed):
    return {"metric": float(np.random.default_rng(seed).normal(10, 2)), "other": 1.0}


_queue = partial(screened, rate_per_s=0.7, service_s=1.0, servers=1, customers=20_000)
_faster = partial(screened, rate_per_s=0.7, service_s=0.95, servers=1, customers=20_000)


def test_replications_go_on_until_the_interval_is_narrow_enough():
    loose, tight = (replicate(_noisy, Precision(relative=width, at_most=500)) for width in (0.1, 0.03))
    assert loose.reached
    assert tight.reached
    assert loose["metric"].relative <= 0.1
    assert tight["metric"].relative <= 0.03
    assert len(loose.rows) < len(tight.rows)
    assert tight["metric"].covers(10.0)


def test_it_stops_where_the_published_algorithm_stops():
    class Model:
        def single_run(self, replication_number):
            return _noisy(replication_number + 1)

    theirs = ReplicationsAlgorithm(alpha=0.05, half_width_precision=0.05, initial_replications=5, look_ahead=5)
    needed, _ = theirs.select(Model(), metrics=["metric"])
    ours = replicate(_noisy, Precision(relative=0.05), metrics=["metric"])
    assert len(ours.rows) == needed["metric"] + 5, "what they recommend, and the look-ahead that confirmed it"


def test_a_budget_that_is_too_small_is_admitted():
    found = replicate(_noisy, Precision(relative=0.001, at_most=12))
    assert not found.reached
    assert len(found.rows) == 12


def test_the_number_of_workers_changes_nothing():
    precision = Precision(relative=0.04)
    alone, together = (replicate(_queue, precision, workers=workers) for workers in (1, 2))
    assert alone == together
    assert alone["wait_mean_s"].covers(mg1_wait(0.7, 1.0))


def test_common_random_numbers_show_a_difference_that_independent_runs_hide():
    compared = compare({"now": _queue, "faster": _faster}, seeds=range(1, 9))
    assert compared.shared_luck("faster", "wait_mean_s") > 0.9
    gain = compared.difference("faster", "wait_mean_s")
    assert gain.differs_from_zero
    assert gain.covers(0.95 * mg1_wait(0.665, 1.0) - mg1_wait(0.7, 1.0))
    independent = mean_of([_faster(seed + 100)["wait_mean_s"] - _queue(seed)["wait_mean_s"] for seed in range(1, 9)])
    assert gain.half_width < 0.5 * independent.half_width
    with pytest.raises(ValueError, match="no variant is called 'later'"):
        compare({"now": _queue}, base="later")


def test_intervals_of_several_differences_hold_together():
    variants = {"now": _queue, "faster": _faster}
    alone = compare(variants, seeds=range(1, 9)).difference("faster", "wait_mean_s")
    among = compare({**variants, "a": _queue, "b": _queue}, seeds=range(1, 9)).difference("faster", "wait_mean_s")
    assert among.value == alone.value
    assert among.level == pytest.approx(1 - 0.05 / 3)
    assert among.half_width > alone.half_width


def test_the_warm_up_is_cut_where_the_series_settles():
    """A level that starts at 10 and falls to 0 within about 100 observations."""
    random = np.random.default_rng(5)
    trend = 10 * np.exp(-np.arange(2_000) / 40)
    runs = [trend + random.normal(0, 1, 2_000) for _ in range(10)]
    cut = warm_up(runs)
    assert 60 <= cut <= 300
    assert abs(np.mean([run[cut:].mean() for run in runs])) < 0.02
    assert mser(np.full(500, 3.0)) == 0
    assert mser(np.arange(500.0)) is None, "a series that never settles has no warm-up but a trend"
    with pytest.raises(ValueError, match="too few"):
        mser([1.0] * 30)
