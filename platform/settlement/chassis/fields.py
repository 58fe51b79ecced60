"""Fields that several services take from their clients. Amounts are minor units."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Header
from pydantic import Field

AmountMinor = Annotated[int, Field(strict=True, ge=1, le=10**12)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
PayMethod = Literal["card", "wallet", "balance"]
# Printable ASCII without spaces: what a URL consists of. The length is that of the article's columns.
Url = Annotated[str, Field(max_length=200, pattern=r"^https?://[!-~]+$")]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
