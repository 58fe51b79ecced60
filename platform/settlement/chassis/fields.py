"""Fields that several services take from their clients. Amounts are minor units."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import Header
from pydantic import Field

from settlement.chassis.refusals import NEEDED

AmountMinor = Annotated[int, Field(strict=True, ge=1, le=10**12)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
PayMethod = Literal["card", "wallet", "balance"]
# Printable ASCII without spaces: what a URL consists of. The length is that of the article's columns.
Url = Annotated[str, Field(max_length=200, pattern=r"^https?://[!-~]+$")]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
# Its absence has a code of its own, which is why it may be None here.
NeededKey = Annotated[
    str | None,
    Header(alias="idempotency-key", min_length=1, max_length=255, pattern=r"^[!-~]+$", json_schema_extra=NEEDED),
]
# For `responses=`: an answer that may be that of an earlier request with the same key.
REPLAYED: Final[dict[str, Any]] = {
    "headers": {
        "Idempotent-Replayed": {
            "description": "There if this was answered before to the same key",
            "schema": {"const": "true"},
        }
    }
}
