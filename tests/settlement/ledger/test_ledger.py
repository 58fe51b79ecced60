"""Money is neither made nor lost, whatever is done to a ledger in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from settlement.ledger import (
    AMOUNT_MAX,
    CHANNEL_CARD,
    CHANNEL_WALLET,
    GRANTS,
    MERCHANT,
    Book,
    Layer,
    OverdrawnError,
    Posting,
    UnbalancedError,
    balanced,
    capture,
    hold,
    source_of,
    transfer,
    user_account,
    void,
)

ALICE, BOB = user_account(1), user_account(2)
amounts = st.integers(1, AMOUNT_MAX)
currencies = st.sampled_from(["CNY", "EUR"])
sources = st.sampled_from([ALICE, BOB, CHANNEL_CARD, CHANNEL_WALLET, GRANTS])
targets = st.sampled_from([MERCHANT, "equity:fees"])


@given(amount=amounts, currency=currencies)
def test_every_batch_sums_to_zero(amount: int, currency: str) -> None:
    held = hold(ALICE, MERCHANT, currency, amount)
    for batch in (held, void(held), capture(held), transfer(GRANTS, ALICE, currency, amount)):
        assert sum(line.amount_minor for line in balanced(batch)) == 0


@given(amount=amounts)
def test_a_captured_hold_holds_nothing_and_has_moved_once(amount: int) -> None:
    held = hold(ALICE, MERCHANT, "CNY", amount)
    lines = held + capture(held)
    assert sum(x.amount_minor for x in lines if x.account == ALICE and x.layer is Layer.PENDING) == 0
    assert sum(x.amount_minor for x in lines if x.account == ALICE and x.layer is Layer.POSTED) == -amount


def test_a_batch_that_makes_money_is_refused() -> None:
    made = Posting(ALICE, "CNY", 5, Layer.POSTED)
    with pytest.raises(UnbalancedError, match="CNY posted: 5"):
        balanced([made])


def test_one_currency_does_not_pay_for_another() -> None:
    lines = [Posting(ALICE, "CNY", -5, Layer.POSTED), Posting(MERCHANT, "EUR", 5, Layer.POSTED)]
    with pytest.raises(UnbalancedError):
        balanced(lines)


def test_held_money_does_not_pay_for_moved_money() -> None:
    lines = [Posting(ALICE, "CNY", -5, Layer.PENDING), Posting(MERCHANT, "CNY", 5, Layer.POSTED)]
    with pytest.raises(UnbalancedError):
        balanced(lines)


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_MAX + 1, 2**63])
def test_amounts_out_of_range_are_refused(amount: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        hold(ALICE, MERCHANT, "CNY", amount)


def test_money_must_go_somewhere_else() -> None:
    with pytest.raises(ValueError, match="somewhere else"):
        transfer(ALICE, ALICE, "CNY", 1)


def test_an_unknown_method_has_no_source() -> None:
    with pytest.raises(ValueError, match="cash"):
        source_of("cash", 1)


def test_held_money_cannot_be_spent_twice() -> None:
    book = Book()
    book.transfer(GRANTS, ALICE, "CNY", 100)
    book.hold("p1", ALICE, MERCHANT, "CNY", 60)
    with pytest.raises(OverdrawnError):
        book.hold("p2", ALICE, MERCHANT, "CNY", 41)
    book.hold("p3", ALICE, MERCHANT, "CNY", 40)
    assert book.available_minor(ALICE, "CNY") == 0
    book.void("p1")
    assert book.available_minor(ALICE, "CNY") == 60


def test_money_on_its_way_in_cannot_be_spent_yet() -> None:
    book = Book()
    book.hold("refund", MERCHANT, ALICE, "CNY", 50)
    with pytest.raises(OverdrawnError):
        book.transfer(ALICE, MERCHANT, "CNY", 1)


def test_a_hold_ends_once() -> None:
    book = Book()
    book.hold("p1", CHANNEL_CARD, MERCHANT, "CNY", 5)
    book.capture("p1")
    with pytest.raises(KeyError):
        book.void("p1")


class LedgerMachine(RuleBasedStateMachine):
    """Anything that customers, channels and refunds may do, in any order, refused or not."""

    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.names = 0

    @rule(user=st.sampled_from([ALICE, BOB]), currency=currencies, amount=amounts)
    def grant(self, user: str, currency: str, amount: int) -> None:
        self.book.transfer(GRANTS, user, currency, amount)

    @rule(target=holds, source=sources, to=targets, currency=currencies, amount=amounts)
    def begin(self, source: str, to: str, currency: str, amount: int) -> str:
        self.names += 1
        before = list(self.book.postings)
        try:
            self.book.hold(str(self.names), source, to, currency, amount)
        except OverdrawnError:
            assert self.book.postings == before, "a refused hold left something behind"
            return ""
        return str(self.names)

    @rule(name=consumes(holds))
    def capture(self, name: str) -> None:
        if name:
            self.book.capture(name)

    @rule(name=consumes(holds))
    def void(self, name: str) -> None:
        if name:
            self.book.void(name)

    @invariant()
    def trial_balance_is_zero(self) -> None:
        assert set(self.book.trial_balance().values()) <= {0}

    @invariant()
    def no_customer_is_overdrawn(self) -> None:
        assert all(
            self.book.available_minor(user, currency) >= 0 for user in (ALICE, BOB) for currency in ("CNY", "EUR")
        )

    @invariant()
    def balances_follow_from_the_postings(self) -> None:
        for account in (ALICE, MERCHANT, CHANNEL_CARD):
            posted = [x.amount_minor for x in self.book.postings if x.account == account and x.layer is Layer.POSTED]
            assert sum(posted) == sum(self.book.balance_minor(account, currency) for currency in ("CNY", "EUR"))


TestLedgerMachine = LedgerMachine.TestCase
