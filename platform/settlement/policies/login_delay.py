"""How long to wait after failed attempts: nothing for a few, then twice as long each time, up to a bound.

The bound keeps a stranger from locking an account for good, and guessing below a few thousand attempts a day.
"""

from __future__ import annotations


def delay_ms(failures: int, free: int, base_ms: int, max_ms: int) -> int:
    """Pause after so many failures: 0 up to `free` of them, then base, 2 base, 4 base, ..., at most `max_ms`."""
    if failures <= free:
        return 0
    # 2^40 ms are 34 years: beyond that only the size of the number grows.
    return int(min(max_ms, base_ms * 2 ** min(failures - free - 1, 40)))
