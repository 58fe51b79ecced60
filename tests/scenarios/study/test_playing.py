"""A study: cases that differ by one thing, met by the same customers, and figures that say what it changes."""

import pytest

from scenarios.study import Case, crowd, history_of, measured, study

SMALL = ("load.stages=[{rate: 20, for: 3s}]", "phases.warmup=1s", "phases.recovery=2s", "expect=[atomic]")


def test_only_what_was_changed_differs():
    cases = {
        "as it is": Case.of("baseline", *SMALL),
        "slower carts": Case.of("baseline", *SMALL, slower={"cart": 5.0}),
    }
    found = study(cases, ("latency.pay.p50", "cost.cpu_s_per_payment"), range(1, 7))
    assert found.difference("slower carts", "latency.pay.p50").low > 0
    assert found.difference("slower carts", "cost.cpu_s_per_payment").low > 0


def test_clients_on_hosts_elsewhere_cost_nothing():
    def generator_cores(case: Case) -> float:
        return float(history_of(case, 1)["generator"]["cpu_s_per_s"].iloc[0])

    assert generator_cores(Case.of("baseline", *SMALL)) == 0
    assert generator_cores(Case.of("baseline", *SMALL, together=True)) > 0


def test_what_is_lost_is_counted_in_orders_and_money():
    history = history_of(Case.of("article-lost-confirm"), 1)
    assert measured(history, "losses.orders") > 0
    assert measured(history, "losses.minor") > measured(history, "losses.orders")


def test_an_unknown_metric_is_named_before_anything_is_played():
    with pytest.raises(ValueError, match=r"unknown metrics: latency\.pay\.p98, cost\.tea"):
        study({"a": Case.of("baseline")}, ("latency.pay.p98", "cost.tea", "in_doubt.max"), range(1, 2))


class TestACrowd:
    """Users who pay, and one who looks at goods more often than the order service can show them."""

    NO_DOORS = crowd.Crowd(honest_per_s=60, greedy_per_s=1000, load_s=4, settings=crowd.NO_DOORS)
    LIMIT = {"limit__user_rate_per_s": 10.0, "limit__user_burst": 20}  # noqa: RUF012

    def test_without_doors_everybody_is_late(self):
        found = crowd.play(1, crowd=self.NO_DOORS)
        assert found["honest.served"] < 0.5
        assert found["honest.p99"] > self.NO_DOORS.patience_s

    def test_a_full_replica_is_quick_for_whoever_gets_in(self):
        found = crowd.play(
            1, crowd=crowd.behind(self.NO_DOORS, limit__concurrency_mode="fixed", limit__concurrency_max=20)
        )
        assert found["honest.p99"] < 0.5
        assert found["honest.served"] < 0.9, "it does not ask who comes"

    def test_a_limit_takes_from_the_greedy_one_alone(self):
        found = crowd.play(1, crowd=crowd.behind(self.NO_DOORS, **self.LIMIT))
        assert found["honest.served"] == 1
        assert found["greedy.served"] < 0.1

    def test_a_setting_that_does_not_exist_is_refused(self):
        with pytest.raises(ValueError, match=r"limit\.users: unknown setting"):
            crowd.play(1, crowd=crowd.behind(self.NO_DOORS, limit__users=1))


def test_what_is_served_after_an_outage():
    stuck = "faults=[{at: 1s, for: 1s, kind: pause, service: order}]"
    found = study({"stuck": Case.of("baseline", *SMALL, stuck)}, ("served.after_faults",), range(1, 3))
    assert 0.3 < found.estimate("stuck", "served.after_faults").value <= 1
