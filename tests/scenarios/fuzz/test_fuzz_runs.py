"""Runs: the same seed is the same run, judged alone or among others, by one worker or by two."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from scenarios.fuzz import campaign as campaigns
from scenarios.fuzz.campaign import SeedResult, Summary, campaign
from scenarios.fuzz.draw import draw
from scenarios.fuzz.play import CHECKS, NAMED, judge, play, side_by_side
from simulator.inputs import Attempt


def test_the_same_seed_gives_the_same_history():
    assert play(draw(3)).digest == play(draw(3)).digest
    assert play(draw(3)).digest != play(draw(4)).digest


def test_a_campaign_does_not_depend_on_its_workers(monkeypatch):
    monkeypatch.setattr(campaigns, "ALONE_MAX", 0)
    monkeypatch.setattr(campaigns, "BATCH", 4)
    alone, together = campaign(1, 10, workers=1), campaign(1, 10, workers=2)
    assert alone.digests == together.digests
    assert alone.counts == together.counts
    assert alone.runs == together.runs == 10
    assert not alone.failures


def test_runs_side_by_side_are_judged_as_alone():
    runs = [play(draw(seed)) for seed in (1, 2, 3)]
    history = side_by_side(runs)
    assert len(history["payments"]) == sum(len(run.aftermath.rows["payments"]) for run in runs)
    assert history["transactions"].gid.nunique() == sum(
        len({row["gid"] for row in run.aftermath.rows["transactions"]}) for run in runs
    )
    assert {str(NAMED[name](history).verdict) for name in CHECKS} == {"pass"}


def test_one_broken_run_is_found_among_good_ones_and_is_the_only_one():
    runs = [play(draw(seed)) for seed in (1, 2, 3, 4, 5)]
    orders = [dict(row) for row in runs[3].aftermath.rows["orders"]]
    paid = next(row for row in orders if row["status"] == "paid")
    paid["status"] = "pending"
    rows = {**runs[3].aftermath.rows, "orders": orders}
    runs[3] = replace(runs[3], aftermath=replace(runs[3].aftermath, rows=rows))
    judged = judge(runs)
    assert [bool(each.findings) for each in judged] == [False, False, False, True, False]
    assert judged[3].findings[0].name == "money_conserved: orders agree"
    assert judged[3].findings[0].evidence[0]["order_no"] == paid["order_no"]


def test_a_platform_that_stays_down_does_not_converge(monkeypatch):
    monkeypatch.setattr("scenarios.fuzz.play.SETTLE_S_MAX", 3.0)
    plan = draw(1)
    gone = replace(draw(11).faults[0], kind="kill", at_s=0.5, until_s=0.5, id="f1")
    forever = replace(gone, parameters={"service": "order", "replica": 0, "restart_after_s": 1e6})
    plan = replace(plan, faults=(forever,), replicas={"gateway": 1, "order": 1, "payment": 1})
    monkeypatch.setattr(type(plan), "calm_s", 4.0)
    names = [finding.name for finding in judge([play(plan)])[0].findings]
    assert "convergence: settled" in names
    assert "convergence: works again" in names


def test_code_that_breaks_is_a_finding(monkeypatch):
    def broken(*_):
        raise AssertionError("no such order")

    monkeypatch.setattr("simulator.orders.OrderBusiness._reserve", broken)
    assert judge([play(draw(1))])[0].findings[0].name == "no_error: AssertionError"


def test_a_patient_client_asks_until_it_is_told():
    purchases = draw(1).purchases
    for_ever = replace(purchases[0], attempts=(Attempt("p1-a", "pay", 0.0),))
    run = play(replace(draw(1), purchases=(for_ever,)))
    told = [row for row in run.aftermath.rows["payments"] if row["operation"] == "p1-a"]
    assert [row["outcome"] in ("ok", "fail") for row in told] == [True]
    assert math.isfinite(told[0]["ended_s"])


def test_the_summary_warns_of_what_was_never_seen():
    summary = Summary(1)
    summary.add(SeedResult(1, "d", (), Counter({"payments committed": 1, "commits": 1})))
    assert "a payment committed" not in summary.never_seen
    assert "a zombie that was fenced" in summary.never_seen
    assert summary.to_dict()["verdict"] == "pass"


def test_stopping_after_a_failure_stops_at_that_seed(monkeypatch):
    def played(seeds):
        return [SeedResult(seed, str(seed), ("atomic: AC1",) if seed in (13, 14) else (), Counter()) for seed in seeds]

    monkeypatch.setattr(campaigns, "play_seeds", played)
    summary = campaign(1, 100, workers=1, failures_max=1)
    assert summary.runs == 13
    assert [failure.seed for failure in summary.failures] == [13]


def test_ctrl_c_keeps_what_was_played(monkeypatch):
    def played(seeds):
        if 30 in seeds:
            raise KeyboardInterrupt
        return [SeedResult(seed, str(seed), (), Counter()) for seed in seeds]

    monkeypatch.setattr(campaigns, "play_seeds", played)
    summary = campaign(1, 100, workers=1)
    assert summary.interrupted
    assert summary.runs == 25


@pytest.mark.parametrize("seed", [1, 2])
def test_counts_tell_what_happened(seed):
    counts = play(draw(seed)).counts
    assert counts["commits"] >= counts["payments committed"] >= 1
    assert counts["operations"] == counts["told ok"] + counts["told fail"] + counts["told unknown"]
