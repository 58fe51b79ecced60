"""Two records of the same money, item by item: pure.

*Theirs* are the lines of a channel's statement, *ours* the payments and refunds of the payment service. An item is a
charge, known by its `out_trade_no`, or a refund, known by its `refund_no`. Both sides are read with a margin around
the period, for neither books at the other's moment; an item belongs to the period that its line was booked in, or,
without a line, that our record was made in.

    match         both have it, same amount and currency
    mismatch      both have it, and amount, currency or state differ
    missing       one side has it: `side` says who has it *not*, `ours` or `theirs`
    duplicate     the statement has it again
    conflicting   they moved the money, and we know that it was not to be moved
    pending       so recent that the other side may still be about to book it

A wallet cannot hold without charging. A payment that was aborted is therefore a charge and a refund named
`void-<out_trade_no>` in the statement, which cancel out, and with us voided, or nothing at all if the abort came first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["mismatch", "missing", "duplicate", "conflicting"]
Side = Literal["", "ours", "theirs"]
Aspect = Literal["", "amount", "currency", "state"]

VOID_PREFIX = "void-"
IN_FLIGHT = frozenset({"held"})
# A payment that is being refunded, or was, has been captured before.
MOVED = frozenset({"captured", "refunding", "refunded"})


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a statement. Amounts are signed minor units: given back is negative."""

    entry_id: int
    kind: Literal["capture", "payment", "refund"]
    out_trade_no: str
    refund_no: str | None
    amount_minor: int
    currency: str
    booked_at_ms: int


@dataclass(frozen=True, slots=True)
class Movement:
    """A payment or refund of ours. The amount is not signed; `refund_no` is null for payments."""

    kind: Literal["payment", "refund"]
    out_trade_no: str
    refund_no: str | None
    amount_minor: int
    currency: str
    state: str
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class Period:
    """What is compared: [from_ms, until_ms), with both sides read until their own moments."""

    from_ms: int
    until_ms: int
    theirs_until_ms: int
    ours_until_ms: int
    grace_ms: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What does not agree. Amounts are signed minor units, None on the side that has nothing."""

    kind: Kind
    side: Side
    aspect: Aspect
    out_trade_no: str
    refund_no: str | None
    ours_minor: int | None
    theirs_minor: int | None
    currency: str
    ours_state: str
    at_ms: int
    entry_id: int | None

    @property
    def identity(self) -> str:
        """The same for the same difference, whichever run finds it."""
        item = f"refund:{self.refund_no}" if self.refund_no is not None else f"charge:{self.out_trade_no}"
        # A line repeated twice is two differences.
        return f"{self.kind}:{item}:{self.entry_id}" if self.kind == "duplicate" else f"{self.kind}{self.side}:{item}"


@dataclass(slots=True)
class Comparison:
    """What became of all items of a period."""

    matched: int = 0
    pending: int = 0
    differences: list[Difference] = field(default_factory=list)


def compare(theirs: Iterable[Line], ours: Iterable[Movement], period: Period) -> Comparison:
    """Classify every item of the period."""
    comparison = Comparison()
    lines = _first_of_each(theirs, period, comparison)
    charges = {line.out_trade_no: line for line in lines if line.kind != "refund"}
    refunds = {line.refund_no: line for line in lines if line.kind == "refund"}
    movements = list(ours)
    payments = {movement.out_trade_no: movement for movement in movements if movement.kind == "payment"}
    given_back = {movement.refund_no: movement for movement in movements if movement.kind == "refund"}
    for number in dict.fromkeys([*charges, *payments]):
        reversal = refunds.pop(VOID_PREFIX + number, None) if number in charges else None
        _judge(_Item(charges.get(number), payments.get(number), reversal, period), comparison)
    for refund_no in dict.fromkeys([*refunds, *given_back]):
        _judge(_Item(refunds.get(refund_no), given_back.get(refund_no), None, period), comparison)
    return comparison


def _first_of_each(theirs: Iterable[Line], period: Period, comparison: Comparison) -> list[Line]:
    """The lines without repetitions, which are differences at once."""
    seen: defaultdict[tuple[str, str | None], list[Line]] = defaultdict(list)
    for line in sorted(theirs, key=lambda line: line.entry_id):
        is_refund = line.kind == "refund"
        seen["refund" if is_refund else "charge", line.refund_no if is_refund else line.out_trade_no].append(line)
    for first, *more in seen.values():
        for line in more:
            if period.from_ms <= line.booked_at_ms < period.until_ms:
                comparison.differences.append(_difference("duplicate", line, None, ours_minor=first.amount_minor))
    return [lines[0] for lines in seen.values()]


@dataclass(frozen=True, slots=True)
class _Item:
    """One charge or refund as both sides have it; `reversal` is the line that took a charge back."""

    line: Line | None
    movement: Movement | None
    reversal: Line | None
    period: Period

    @property
    def at_ms(self) -> int:
        if self.line is not None:
            return self.line.booked_at_ms
        return 0 if self.movement is None else self.movement.created_at_ms

    @property
    def theirs_minor(self) -> int:
        """What they moved in the end."""
        parts = (self.line, self.reversal)
        return sum(line.amount_minor for line in parts if line is not None)

    @property
    def is_recent(self) -> bool:
        """Whether the other side may still be about to book it."""
        period = self.period
        other_until_ms = period.ours_until_ms if self.line is not None else period.theirs_until_ms
        if self.movement is not None and self.movement.state in IN_FLIGHT:
            return self.movement.created_at_ms >= period.ours_until_ms - period.grace_ms
        return self.at_ms >= other_until_ms - period.grace_ms


def _judge(item: _Item, comparison: Comparison) -> None:
    if not item.period.from_ms <= item.at_ms < item.period.until_ms:
        return
    verdict = _verdict(item)
    if verdict is None:
        return
    if verdict == "match":
        comparison.matched += 1
        return
    kind, side, aspect = verdict
    # What both sides have written down does not change any more, however recent it is.
    is_final = aspect in ("amount", "currency")
    if item.is_recent and not is_final:
        comparison.pending += 1
    else:
        comparison.differences.append(_difference(kind, item.line, item.movement, side, aspect, item.theirs_minor))


_Verdict = tuple[Kind, Side, Aspect] | Literal["match"] | None


def _verdict(item: _Item) -> _Verdict:
    """What the item is, if it is not pending; None if there is nothing to compare."""
    line, movement = item.line, item.movement
    if line is None:
        # Held money may or may not be at the channel yet, voided money must not be: nothing there is no difference.
        return ("missing", "theirs", "") if movement is not None and movement.state in MOVED else None
    if item.reversal is not None:
        return _verdict_of_reversed(item)
    if movement is None:
        return ("missing", "ours", "")
    if movement.state in IN_FLIGHT:
        return ("mismatch", "", "state")
    if movement.state not in MOVED:
        return ("conflicting", "", "")
    if line.currency != movement.currency:
        return ("mismatch", "", "currency")
    return "match" if line.amount_minor == _signed(movement) else ("mismatch", "", "amount")


def _verdict_of_reversed(item: _Item) -> _Verdict:
    """A charge that the channel gave back again: with us it must have been aborted."""
    state = "voided" if item.movement is None else item.movement.state
    if state in MOVED:
        return ("conflicting", "", "")
    if state in IN_FLIGHT:
        return ("mismatch", "", "state")
    return "match" if item.theirs_minor == 0 else ("mismatch", "", "amount")


def _signed(movement: Movement) -> int:
    return -movement.amount_minor if movement.kind == "refund" else movement.amount_minor


def _difference(
    kind: Kind,
    line: Line | None,
    movement: Movement | None,
    side: Side = "",
    aspect: Aspect = "",
    theirs_minor: int = 0,
    *,
    ours_minor: int | None = None,
) -> Difference:
    known = line if line is not None else movement
    assert known is not None  # noqa: S101 - an item is made from at least one side
    if kind == "duplicate" and line is not None:
        theirs_minor = line.amount_minor
    is_refund = known.kind == "refund"
    return Difference(
        kind=kind,
        side=side,
        aspect=aspect,
        out_trade_no=known.out_trade_no,
        refund_no=known.refund_no if is_refund else None,
        ours_minor=ours_minor if movement is None else _signed(movement),
        theirs_minor=None if line is None else theirs_minor,
        currency=known.currency,
        ours_state="" if movement is None else movement.state,
        at_ms=line.booked_at_ms if line is not None else movement.created_at_ms if movement is not None else 0,
        entry_id=None if line is None else line.entry_id,
    )
