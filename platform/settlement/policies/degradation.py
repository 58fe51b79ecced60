"""Degradation: what may be left out so that the rest goes on, as named switches.

Every feature that can do without something has a switch with three positions. `automatic` falls back while what the
feature depends on is in trouble (a service whose circuit breaker is open, or this replica turning requests away);
`always` and `never` are an operator's word, and win. Falling back is never an error, so each says what it means.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Mode(StrEnum):
    """The position of a switch."""

    AUTOMATIC = "automatic"
    ALWAYS = "always"
    NEVER = "never"


# What a feature depends on when it is no other service: this very replica having time for it, or nothing at all.
THIS_REPLICA: Final = "this replica"
NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True)
class Switch:
    """One feature: the setting that holds its mode, what it depends on, and what happens instead."""

    feature: str
    setting: str
    depends_on: str
    fallback: str


_SWITCHES: Final = (
    Switch("cart_cache", "degrade.cart_cache", NOTHING, "Carts are read from the database every time."),
    Switch("goods_list", "degrade.goods_list", THIS_REPLICA, "The list of goods is served as it was some seconds ago."),
    Switch("risk", "degrade.risk", "risk", "Payments are not assessed but treated as `gateway.risk_mode` says."),
    Switch("statistics", "degrade.statistics", THIS_REPLICA, "Aggregates are served as they were some seconds ago."),
)
SWITCHES: Final[dict[str, Switch]] = {switch.feature: switch for switch in _SWITCHES}


def is_degraded(mode: Mode, *, in_trouble: bool) -> bool:
    """Whether the fallback is in force; `in_trouble` tells of what the feature depends on."""
    if mode is Mode.AUTOMATIC:
        return in_trouble
    return mode is Mode.ALWAYS
