"""The rules behind the load, without Locust: outcomes, dispatching, lookup, shares, captchas."""

import random
from itertools import islice

import pytest

from loadtests.dispatch import Dispatcher, percentile
from loadtests.mix import JOURNEYS, METHODS, BadMix, arrivals, parse
from loadtests.outcomes import Answer, Outcome, Reply, classify, judge
from loadtests.registry import NotARegistry, Registry, Replica
from loadtests.registry import parse as parse_registry
from loadtests.users.accounts import AccountRefused, solve
from scenarios.plan import Arrival
from settlement.policies.lapse import KEPT_MS


def _arrival(at_s: float) -> Arrival:
    return Arrival(0, at_s, "pay", "card", 1, 1, f"k{at_s}")


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(200, {}), Outcome.OK),
        (Reply(201, {"status": "processing"}), Outcome.OK),
        (Reply(402, {"code": "declined"}), Outcome.FAIL),
        (Reply(503, {"status": "failed", "gid": "g"}), Outcome.FAIL),
        (Reply(503, {}), Outcome.UNKNOWN),
        (Reply(500, {"code": "internal"}), Outcome.UNKNOWN),
        (Reply(0, error="timeout"), Outcome.UNKNOWN),
        (Reply(0, error="reset"), Outcome.UNKNOWN),
        (Reply(0, error="refused", sent=False), Outcome.FAIL),
        (Reply(200, {}, error="unreadable_body"), Outcome.UNKNOWN),
    ],
)
def test_outcome_of_a_request(reply: Reply, outcome: Outcome) -> None:
    assert classify(reply) is outcome


@pytest.mark.parametrize(
    ("reply", "in_doubt", "answer"),
    [
        (Reply(201, {"status": "succeeded"}), False, Answer.SUCCEEDED),
        (Reply(201, {"status": "failed"}), False, Answer.FAILED),
        (Reply(201, {"status": "processing", "gid": "g"}), False, Answer.PROCESSING),
        (Reply(409, {"code": "idempotency_key_in_use"}), False, Answer.DOUBTFUL),
        (Reply(409, {"code": "order_not_payable", "status": "failed"}), True, Answer.FAILED),
        (Reply(401, {}), False, Answer.FAILED),
        (Reply(401, {}), True, Answer.NOT_DONE),
        (Reply(429, {}), False, Answer.NOT_DONE),
        (Reply(409, {"code": "payment_not_settled"}), False, Answer.NOT_DONE),
        (Reply(503, {"code": "overloaded"}), False, Answer.NOT_DONE),
        (Reply(503, {"code": "overloaded"}), True, Answer.NOT_DONE),
        (Reply(503, {"code": "risk_unavailable"}), True, Answer.NOT_DONE),
        (Reply(403, {"code": "risk_denied"}), False, Answer.FAILED),
        (Reply(403, {"code": "risk_denied"}), True, Answer.NOT_DONE),
        (Reply(0, error="refused", sent=False), True, Answer.NOT_DONE),
        (Reply(502, {}), False, Answer.DOUBTFUL),
        (Reply(0, error="timeout"), False, Answer.DOUBTFUL),
    ],
)
def test_what_an_answer_means_for_a_payment(reply: Reply, in_doubt: bool, answer: Answer) -> None:
    assert judge(reply, in_doubt=in_doubt) is answer


def test_the_longest_idle_slot_works_first() -> None:
    dispatcher = Dispatcher(pool=3, patience_s=1.0)
    for slot in (2, 0, 1):
        assert dispatcher.free(slot, 0.0) is None
    assert [dispatcher.arrive(_arrival(0.0), 0.0) for _ in range(4)] == [2, 0, 1, None]
    assert (dispatcher.started, dispatcher.dropped, dispatcher.at_rest) == (3, 0, False)


def test_the_longest_waiting_arrival_is_taken_first_and_the_impatient_leave() -> None:
    dispatcher = Dispatcher(pool=3, patience_s=1.0)
    waiting = [_arrival(at_s) for at_s in (0.0, 0.5, 0.6)]
    for arrival in waiting:
        assert dispatcher.arrive(arrival, arrival.at_s) is None
    assert dispatcher.free(0, 1.2) is waiting[1]
    assert dispatcher.dropped == 1
    dispatcher.abandon()
    assert (dispatcher.started, dispatcher.dropped) == (1, 2)


def test_the_queue_is_as_long_as_the_pool() -> None:
    dispatcher = Dispatcher(pool=2, patience_s=1.0)
    for _ in range(5):
        dispatcher.arrive(_arrival(0.0), 0.0)
    assert (dispatcher.started, dispatcher.dropped) == (0, 3)


def test_a_generator_that_is_late_says_so() -> None:
    dispatcher = Dispatcher(pool=1, patience_s=9.0)
    dispatcher.free(0, 0.0)
    late = _arrival(1.0)
    assert dispatcher.arrive(late, 3.0) == 0
    dispatcher.begun(late, 3.0)
    assert percentile(dispatcher.lags_s, 0.99) == 2.0


def test_percentile_of_nothing_is_zero() -> None:
    assert percentile([], 0.99) == 0.0
    assert percentile([float(value) for value in range(1, 101)], 0.99) == 100.0


class _Source:
    def __init__(self) -> None:
        self.names = ["a", "b"]
        self.calls = 0
        self.down = False

    def __call__(self) -> dict[str, list[Replica]]:
        self.calls += 1
        if self.down:
            raise NotARegistry("down")
        return {"gateway": [Replica(name, f"http://{name}") for name in self.names]}


def _registry() -> tuple[Registry, _Source, list[float]]:
    source, now_s = _Source(), [0.0]
    return Registry(source, lambda: now_s[0]), source, now_s


def test_replicas_take_turns_and_a_suspect_is_passed_over_for_a_while() -> None:
    registry, _, now_s = _registry()
    assert [_name(registry) for _ in range(4)] == ["a", "b", "a", "b"]
    registry.suspect(Replica("a", "http://a"))
    assert {_name(registry) for _ in range(4)} == {"b"}
    registry.suspect(Replica("b", "http://b"))
    assert {_name(registry) for _ in range(4)} == {"a", "b"}, "better a suspect than nobody"
    now_s[0] = 2.0
    assert {_name(registry) for _ in range(4)} == {"a", "b"}
    assert registry.resolve("nobody") is None


def test_a_refresh_finds_new_replicas_and_survives_a_registry_that_is_down() -> None:
    registry, source, now_s = _registry()
    source.names = ["c"]
    registry.refresh()
    assert source.calls == 1, "somebody asked just now"
    now_s[0] = 1.0
    registry.refresh()
    assert _name(registry) == "c"
    source.down, now_s[0] = True, 2.0
    registry.refresh()
    assert _name(registry) == "c"


def test_a_service_that_lapsed_from_the_registry_is_still_tried_for_a_while() -> None:
    registry, source, now_s = _registry()
    source.names, now_s[0] = [], 1.0
    registry.refresh()
    assert {_name(registry) for _ in range(2)} == {"a", "b"}
    now_s[0] = 1.0 + KEPT_MS / 1_000
    registry.refresh()
    assert registry.resolve("gateway") is None


def _name(registry: Registry) -> str:
    replica = registry.resolve("gateway")
    assert replica is not None
    return replica.name


def test_addresses_may_come_without_a_scheme() -> None:
    document = {"services": {"cart": [{"replica": "cart-0", "address": "127.0.0.1:1"}]}}
    assert parse_registry(document) == {"cart": [Replica("cart-0", "http://127.0.0.1:1")]}


def test_all_mistakes_of_a_mix_are_told_at_once() -> None:
    with pytest.raises(BadMix) as raised:
        parse("pay=x,fly=3,browse=-1,pay", JOURNEYS, "mix")
    for part in ("--mix", "'pay=x'", "'fly'", "'browse=-1'", "'pay'"):
        assert part in str(raised.value)
    with pytest.raises(BadMix, match="zero"):
        parse("pay=0", JOURNEYS, "mix")


def test_arrivals_follow_the_shares_and_have_keys_of_their_own() -> None:
    drawn = list(
        islice(arrivals(parse("pay=3,browse=1", JOURNEYS, "mix"), {METHODS[0]: 1}, [7], random.Random(1)), 1000)
    )
    share = sum(arrival.journey == "pay" for arrival in drawn) / len(drawn)
    assert 0.7 < share < 0.8
    assert len({arrival.key for arrival in drawn}) == len(drawn)


def test_captchas_are_solved_and_strange_ones_refused() -> None:
    assert [solve(question) for question in ("3 + 9", "what is 12 - 5?", "4*6")] == [12, 7, 24]
    with pytest.raises(AccountRefused, match="picture"):
        solve("a picture of a cat")


def test_users_follow_the_weights_and_leave_out_who_is_not_up() -> None:
    def entry(name: str, **members: object) -> dict[str, object]:
        return {"replica": name, "address": f"http://{name}", **members}

    document = {
        "services": {"gateway": [entry("a", weight=300), entry("b", weight=100), entry("out", status="OUT_OF_SERVICE")]}
    }
    registry = Registry(lambda: parse_registry(document))
    served = [replica.name for _ in range(8) if (replica := registry.resolve("gateway"))]
    assert served == list("aabaaaba")
