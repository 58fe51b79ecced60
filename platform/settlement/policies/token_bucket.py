"""Rate limits as a token bucket: `burst` requests at once, `rate_per_s` in the long run.

A bucket holds up to `burst` tokens, starts full and is filled continuously; a request takes its cost or is refused and
takes nothing. Over any span of t seconds at most burst + rate * t is admitted. A bucket is two numbers (tokens, and
when they were counted), and `take` is a function of them: a limiter that keeps buckets elsewhere, in a script inside
Redis for example, is right if it computes this function. Whoever waits `retry_after_ms` is admitted, unless somebody
else came first.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

# Sums of fractions fall a hair short of a whole token. A bucket may owe that hair, so that nothing is given away.
HAIR: Final = 1e-6
KEYS_MAX: Final = 50_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """`tokens` as they were at `at_ms`, any clock that is the same for all who share the bucket."""

    tokens: float
    at_ms: float


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether a request is admitted, and what its client is told.

    `remaining` whole tokens are left now; `retry_after_ms` is how long to wait before the same request can be admitted
    (0 if it was); after `reset_ms` without a request the bucket is full again.
    """

    allowed: bool
    remaining: int
    retry_after_ms: int
    reset_ms: int


def take(bucket: Bucket | None, now_ms: float, cost: float, rate_per_s: float, burst: float) -> tuple[Bucket, Taken]:
    """The bucket after a request of this cost, and the answer. No bucket is a full one.

    Rate and burst may differ from those of the last call. A clock that stepped back adds nothing. Raises ValueError
    for a rate or burst that is not positive, or a cost that no full bucket covers.
    """
    if rate_per_s <= 0 or not 0 <= cost <= burst:
        raise ValueError(f"cost {cost} out of a bucket of {burst} filled with {rate_per_s}/s")
    rate_per_ms = rate_per_s / 1_000
    tokens, at_ms = burst, now_ms
    if bucket is not None:
        # Time that was paid for once must not be paid for again when the clock comes back to it.
        at_ms = max(now_ms, bucket.at_ms)
        tokens = min(burst, bucket.tokens + (at_ms - bucket.at_ms) * rate_per_ms)
    allowed = tokens + HAIR >= cost
    if allowed:
        tokens -= cost
    # Only what the clock stepped back is added: with the clock's whole reading, a wait would lose its last digits.
    stepped_back_ms = at_ms - now_ms
    wait_ms = 0 if allowed else _until_filled_ms(cost - tokens, rate_per_ms, stepped_back_ms)
    reset_ms = _until_filled_ms(burst - tokens, rate_per_ms, stepped_back_ms)
    return Bucket(tokens, at_ms), Taken(allowed, max(0, math.floor(tokens + HAIR)), wait_ms, reset_ms)


def _until_filled_ms(missing: float, rate_per_ms: float, stepped_back_ms: float) -> int:
    """How long until these tokens are there, in whole ms.

    Half a hair may still be owed then: a quotient a hair above a whole number does not cost a millisecond more, and
    the other half is left for the sums of whoever comes back in time.
    """
    return max(0, math.ceil((missing - HAIR / 2) / rate_per_ms + stepped_back_ms))


class TokenBucket:
    """One bucket that remembers itself; the simulator has one per limited queue."""

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._bucket: Bucket | None = None

    def follow(self, rate_per_s: float, burst: float) -> None:
        """Take new values from the settings; tokens beyond a smaller burst are lost."""
        self._rate_per_s = rate_per_s
        self._burst = burst

    def take(self, now_ms: float, cost: float = 1.0) -> Taken:
        """Ask for `cost` tokens. Raises ValueError if the cost exceeds the burst."""
        self._bucket, taken = take(self._bucket, now_ms, cost, self._rate_per_s, self._burst)
        return taken


class TokenBuckets:
    """A bucket per key, for at most `keys_max` keys.

    The bucket used longest ago is forgotten first. That gives its owner a full one, so `keys_max` should exceed the
    number of keys that are used within the time a bucket takes to fill.
    """

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Keys remembered."""
        return len(self._buckets)

    def take(self, key: str, now_ms: float, rate_per_s: float, burst: float, cost: float = 1.0) -> Taken:
        """Ask for `cost` tokens of this key's bucket. Raises ValueError if the cost exceeds the burst."""
        self._buckets[key], taken = take(self._buckets.get(key), now_ms, cost, rate_per_s, burst)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._keys_max:
            self._buckets.popitem(last=False)
        return taken
