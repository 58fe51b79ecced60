"""Retries that cannot make an outage worse: a budget limits how many, backoff with full jitter says when.

The budget is a share of the calls made: with 0.1, ten calls pay for one retry, so that an overloaded service sees at
most 10 % more load. A small reserve lets a quiet client retry at all. Full jitter: Brooker, "Exponential Backoff And
Jitter" (AWS Architecture Blog, 2015). A server that says when to come back (Retry-After) is never asked earlier.
"""

from __future__ import annotations

from typing import Final

from settlement.policies.codes import OVERLOADED, RATE_LIMITED

# What calls between services are repeated with: attempts in all, and the pauses in between.
ATTEMPTS_MAX: Final = 4
BACKOFF_BASE_MS: Final = 10.0
BACKOFF_MAX_MS: Final = 250.0
# The server says that it did not do it, and an idempotent call may as well ask somebody else.
RETRIED_STATUSES: Final = frozenset({502, 503, 504})
# Refused at the door, with certainly nothing done.
TURNED_AWAY: Final = frozenset({429, 503})
TURNED_AWAY_CODES: Final = frozenset({RATE_LIMITED, OVERLOADED})
RESERVE: Final = 10.0


class RetryBudget:
    """Calls deposit `share` of a retry; a retry takes one. Holds at most `reserve`."""

    def __init__(self, share: float, reserve: float = RESERVE) -> None:
        self._share = share
        self._reserve = reserve
        self._balance = reserve

    @property
    def balance(self) -> float:
        """Retries that may be made now."""
        return self._balance

    def follow(self, share: float) -> None:
        """Take a new share from the settings."""
        self._share = share

    def call_made(self) -> None:
        """A first attempt was made."""
        self._balance = min(self._reserve, self._balance + self._share)

    def try_withdraw(self) -> bool:
        """Whether a retry may be made; takes it from the budget."""
        if self._share <= 0.0 or self._balance < 1.0:
            return False
        self._balance -= 1.0
        return True


def backoff_ms(attempt: int, base_ms: float, max_ms: float, chance: float) -> float:
    """Pause before retry number `attempt` (1, 2, ...): uniform between 0 and base * 2^(attempt-1), capped.

    `chance` is a random number in [0, 1).
    """
    if attempt < 1:
        raise ValueError(f"attempt {attempt} is not a retry")
    ceiling_ms = min(max_ms, base_ms * 2.0 ** min(attempt - 1, 60))
    return ceiling_ms * chance


def pause_ms(attempt: int, base_ms: float, max_ms: float, chance: float, retry_after_ms: float | None = None) -> float:
    """Pause before retry number `attempt`: the backoff, after what the server asked for, if it did.

    The jitter comes on top: clients that were turned away together must not come back together.
    """
    return (retry_after_ms or 0.0) + backoff_ms(attempt, base_ms, max_ms, chance)


def retry_after_ms_of(value: str | None) -> float | None:
    """A Retry-After of whole seconds, in milliseconds; None for anything else (no service of ours sends a date)."""
    if value is None or not (value.isascii() and value.isdecimal() and len(value) <= 9):
        return None
    return int(value) * 1_000.0
