"""Codes of answers that whoever asked must understand: the services say them, callers and clients act on them."""

from __future__ import annotations

from typing import Final

# 429: its caller asks too often. Nothing was begun.
RATE_LIMITED: Final = "rate_limited"
# 503: a replica has its hands full. Nothing was begun.
OVERLOADED: Final = "overloaded"
# 503: the gateway must not go on without risk's verdict. Nothing was begun.
RISK_UNAVAILABLE: Final = "risk_unavailable"
# 409: the first request with this key is still being worked on.
KEY_IN_USE: Final = "idempotency_key_in_use"
# 409: the payment to give back is committed, and not everybody has applied it yet. Nothing was begun.
NOT_SETTLED: Final = "payment_not_settled"
