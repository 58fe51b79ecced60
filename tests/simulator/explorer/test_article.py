"""The article's protocol, explored whole: right as long as nothing goes wrong, or who loses what."""

from dataclasses import replace

import pytest

from settlement.protocol.shipped import ARTICLE
from simulator.explorer import diagram, story
from simulator.explorer.engine import Exploration, Verdict, explore
from simulator.explorer.parts import GATEWAY, Bounds
from simulator.explorer.protocol import ProtocolModel

CALM = Bounds(crashes=0, losses=0, duplicates=0, pauses=0, delays=0, protocol=ARTICLE)
LATE, LOSS = replace(CALM, delays=1), replace(CALM, losses=1)
GATEWAY_CRASH = replace(CALM, crashes=1, crash_of=GATEWAY)


def explored(bounds: Bounds, *, keep_going: bool = False) -> tuple[Exploration[int, int], dict[str, story.Story]]:
    model = ProtocolModel(bounds)
    found = explore(model, keep_going=keep_going)
    return found, {each.property.name: story.tell(model, each.path, each.loop) for each in found.violations}


@pytest.mark.parametrize("bounds", [CALM, replace(CALM, participants=3), replace(CALM, duplicates=1)])
def test_it_holds_as_long_as_everything_arrives_in_time(bounds: Bounds) -> None:
    found, _ = explored(bounds)
    assert found.complete
    assert {each.verdict for each in found.judged} == {Verdict.HOLDS}


@pytest.mark.parametrize(
    ("bounds", "steps"), [(LATE, 7), (LOSS, 8), (GATEWAY_CRASH, 8)], ids=["late", "lost", "gateway crash"]
)
def test_one_fault_takes_the_money_and_fails_the_payment(bounds: Bounds, steps: int) -> None:
    _, stories = explored(bounds)
    (told,) = stories.values()
    assert list(stories) == ["agreement"]
    assert len(told.scenes) == steps
    assert sum(scene.is_fault for scene in told.scenes) == 1
    assert any("takes the money" in line for line in story.text(told))
    assert told.ending[-1].startswith("who lost what: the client has paid and ")
    assert told.ending[-1].endswith("gets no goods; payment keeps the money, and nobody gives it back")


def test_a_gateway_that_crashes_forgets_that_it_was_paid() -> None:
    told = story.text(explored(GATEWAY_CRASH)[1]["agreement"])
    assert "gateway-0: vote yes - crashes" in told[3]
    assert told[5] == "6. payment: takes the money; durable: committed"
    assert told[-1] == "8. gateway-1: works on what it has claimed; durable: abort; tells the client: abort"


def test_a_lost_confirmation_makes_a_paid_order_unpaid() -> None:
    found, stories = explored(LOSS, keep_going=True)
    assert found.complete
    told = story.text(stories["stability"])
    assert " 9. order -> gateway-0: acknowledge - is lost   (fault)" in told
    assert told[-1].startswith("11. gateway-0 -> order: decide abort - takes back what it had done")
    assert stories["stability"].ending[0].endswith("payment is committed, the money is taken")


def test_a_channel_that_does_not_answer_keeps_money_that_nobody_has_on_record() -> None:
    _, stories = explored(LOSS, keep_going=True)
    assert set(stories) == {"agreement", "stability", "no_leak"}
    assert "payment has no record, the money is taken" in stories["no_leak"].ending[0]


def test_the_orders_goods_are_kept_or_lost_with_its_record() -> None:
    _, stories = explored(replace(CALM, crashes=1), keep_going=True)
    assert "payment has no record, the money is taken" in stories["no_leak"].ending[0]


def test_orders_are_alike_and_payment_is_not() -> None:
    bounds = replace(LOSS, participants=3)
    (merged, stories), (apart, _) = (
        explored(bounds, keep_going=True),
        explored(replace(bounds, symmetry=False), keep_going=True),
    )
    assert {each.property.name: len(each.path) for each in merged.violations} == {
        each.property.name: len(each.path) for each in apart.violations
    }
    assert merged.states < apart.states
    assert stories["stability"].actors[-3:] == ("order-0", "order-1", "payment")


def test_dropping_what_makes_no_difference_changes_no_verdict() -> None:
    for bounds in (LATE, LOSS, replace(CALM, crashes=1), replace(CALM, pauses=1)):
        reduced, whole = (explored(replace(bounds, reduced=each), keep_going=True)[0] for each in (True, False))
        assert [(each.property.name, len(each.path)) for each in reduced.violations] == [
            (each.property.name, len(each.path)) for each in whole.violations
        ]


def test_the_diagrams_name_who_lost_what() -> None:
    told = explored(LOSS)[1]["agreement"]
    assert "participant payment as payment" in story.mermaid(told)
    assert "who lost what: the client has paid" in story.mermaid(told)
    assert "who lost what: the client has paid" in diagram.svg(told, "")


def test_what_makes_no_sense_for_it_is_refused_all_at_once() -> None:
    wrong = replace(CALM, participants=1, asked_last=True, operators=1)
    assert [line.split(":")[0] for line in wrong.problems()] == ["participants", "asked_last", "operators"]
    assert replace(CALM, protocol="saga").problems() == ["protocol: 'saga' is none of two_phase, article"]
    assert replace(CALM, crash_of="us").problems() == ["crash_of: 'us' is none of anybody, gateway, participants"]
    assert Bounds().problems() == CALM.problems() == []
