"""Plans: drawn from a seed, kept as a file, refused with everything that is wrong with them."""

import json

import pytest

from scenarios.fuzz.draw import draw
from scenarios.fuzz.plan import BadPlan, FuzzPlan
from simulator.timeline import FAULT_KINDS

SEEDS = range(300)


def test_a_seed_always_draws_the_same_plan():
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_a_plan_survives_its_file():
    for seed in range(30):
        assert FuzzPlan.from_json(draw(seed).to_json()) == draw(seed)


def test_every_kind_of_fault_is_drawn_and_some_runs_have_none():
    plans = [draw(seed) for seed in SEEDS]
    assert {fault.kind for plan in plans for fault in plan.faults} == FAULT_KINDS
    assert any(not plan.faults for plan in plans)


def test_customers_get_in_each_others_way():
    purchases = [purchase for seed in SEEDS for purchase in draw(seed).purchases]
    keys = [[attempt.key for attempt in purchase.attempts] for purchase in purchases]
    assert any(len(set(own)) < len(own) for own in keys), "one key from two places"
    assert any(sum(attempt.kind == "pay" for attempt in each.attempts) > 1 for each in purchases), "rival payments"
    assert any(sum(attempt.kind == "refund" for attempt in each.attempts) > 1 for each in purchases), "rival refunds"
    users = [[purchase.user_id for purchase in draw(seed).purchases] for seed in SEEDS]
    assert any(len(set(own)) == 1 < len(own) for own in users), "one account"


def test_in_the_calm_nothing_is_broken_any_more():
    for plan in map(draw, SEEDS):
        for fault in plan.faults:
            assert fault.until_s + fault.parameters.get("restart_after_s", 0) < plan.calm_s
            if fault.kind == "slow_disk":  # what it has begun goes on
                assert fault.until_s + fault.parameters["delay_ms"] / 1000 < plan.calm_s
        assert all(purchase.at_s < plan.storm_s for purchase in plan.purchases)


def test_everything_that_is_wrong_with_a_plan_is_listed():
    data = json.loads(draw(11).to_json())
    data["settings"]["gateway.no_such"] = 1
    data["replicas"]["bank"] = 2
    data["purchases"][0]["goods_id"] = 99
    data["faults"] = [
        {"id": "f1", "kind": "flood", "at_s": 1, "until_s": 2, "parameters": {}},
        {"id": "f2", "kind": "kill", "at_s": 1, "until_s": 1, "parameters": {"service": "gateway"}},
        {"id": "f3", "kind": "pause", "at_s": 1, "until_s": 2, "parameters": {"service": "order", "replica": 7}},
        {"id": "f4", "kind": "loss", "at_s": 2, "until_s": 1, "parameters": {"from": "gateway", "to": "order"}},
    ]
    with pytest.raises(BadPlan) as caught:
        FuzzPlan.from_json(json.dumps(data))
    wrong = "\n".join(caught.value.problems)
    for place in ("gateway.no_such", "replicas.bank", "purchases.p1", "faults.f1", "f2: kill without", "order-7", "f4"):
        assert place in wrong


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"paylab_fuzz": 2}', '{"paylab_fuzz": 1, "faults": 3}'])
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(BadPlan):
        FuzzPlan.from_json(text)
