"""What a scenario expects: that a check holds, that it is violated, that a threshold holds; of any protocol or of one.

    atomic                                  the check finds no violation
    not atomic                              the check finds a violation: passes if it does, fails if it does not
    latency.pay.p99 < 800ms                 the threshold holds
    not atomic under article                asked only of a platform that speaks the article's protocol
    atomic under two_phase                  asked only of one that speaks two-phase commit

`under` lets one scenario say what the same faults do to either protocol. What is not asked of a run is listed in its
verdict, never silently left out.
"""

import re
from dataclasses import dataclass, replace

from scenarios import thresholds
from scenarios.fields import nearest
from scenarios.thresholds import NAMED_EXPECTATIONS, Threshold
from settlement.protocol.shipped import PROTOCOLS

GRAMMAR = f"[not] check [under protocol], or {thresholds.GRAMMAR} [under protocol]"
_SHAPE = re.compile(r"(?P<claim>.*?)(?:\s+under\s+(?P<under>\S+))?")
_NOT = "not "


class ExpectationError(ValueError):
    """An expectation that cannot be read; the message says what is wrong and what was expected."""


@dataclass(frozen=True)
class Expectation:
    """One line of `expect`. `check`: a name of NAMED_EXPECTATIONS or a threshold. `under`: a protocol, None for any."""

    text: str
    check: Threshold | str
    negated: bool = False
    under: str | None = None

    @property
    def name(self) -> str:
        """What its result is called: the text without `under`."""
        text = self.check if isinstance(self.check, str) else self.check.text
        return f"{_NOT}{text}" if self.negated else text

    def is_asked_of(self, protocol: str) -> bool:
        """Whether a platform that speaks `protocol` is judged by it."""
        return self.under in (None, protocol)

    def meets(self, other: "Expectation") -> bool:
        """Whether there is a protocol that both are asked of."""
        return self.under is None or other.under is None or self.under == other.under

    @property
    def meaning(self) -> Threshold | str:
        """What it is about, however it is written: `< 1s` and `<1000ms` are one threshold."""
        return self.check if isinstance(self.check, str) else replace(self.check, text="")


def parse(text: str) -> Expectation:
    """Read one expectation. Raises ExpectationError or ThresholdError."""
    written = " ".join(text.split())
    shape = _SHAPE.fullmatch(written)
    claim, under = (shape["claim"], shape["under"]) if shape else (written, None)
    if under is not None and under not in PROTOCOLS:
        hint = nearest(under, PROTOCOLS)
        raise ExpectationError(f"unknown protocol {under!r}; {hint}expected one of {', '.join(PROTOCOLS)}")
    if claim.startswith(_NOT):
        return Expectation(written, _negatable(claim.removeprefix(_NOT)), negated=True, under=under)
    if claim in NAMED_EXPECTATIONS:
        return Expectation(written, claim, under=under)
    if claim.isidentifier():
        raise _unknown(claim, f", or {thresholds.GRAMMAR}")
    return Expectation(written, thresholds.parse(claim), under=under)


def _negatable(claim: str) -> str:
    if claim in NAMED_EXPECTATIONS:
        return claim
    if claim.startswith(_NOT):
        raise ExpectationError(f"{claim!r} is negated twice; expected a check, like atomic")
    if claim.isidentifier():
        raise _unknown(claim, "")
    raise ExpectationError(
        f"{claim!r} cannot be negated, for a threshold has its opposite, like >= for <; "
        f"expected `not` before one of {', '.join(NAMED_EXPECTATIONS)}"
    )


def _unknown(claim: str, more: str) -> ExpectationError:
    hint = nearest(claim, NAMED_EXPECTATIONS)
    names = ", ".join(NAMED_EXPECTATIONS)
    return ExpectationError(f"unknown expectation {claim!r}; {hint}expected one of {names}{more}")


def json_patterns() -> list[str]:
    """Regular expressions for editors; plain names of checks are not among them."""
    under = rf"( +under +({'|'.join(PROTOCOLS)}))?$"
    return [rf"^(not +)?({'|'.join(NAMED_EXPECTATIONS)}){under}", thresholds.json_pattern().removesuffix("$") + under]
