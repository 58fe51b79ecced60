"""Canary releases: a stated share of the calls to a service goes to the replicas of a stated version.

    rules = parse("order:0.2.0=10%, payment:0.3.1=2.5%")
    eligible = choose(versions_by_address, rules.get("order"), random.random())

Everybody else serves the rest. When one side has no replica (the canary died, or all have been upgraded), the other
serves everything: a release must not be able to take a service away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_RULE: Final = re.compile(
    r"(?P<service>[a-z0-9][a-z0-9_-]{0,63}):(?P<version>[A-Za-z0-9][A-Za-z0-9_.+-]{0,31})=(?P<percent>\d{1,3}(\.\d{1,3})?)%"
)
RULES_MAX: Final = 50


@dataclass(frozen=True)
class Canary:
    """`share` (0 to 1) of the calls go to the replicas of `version`."""

    version: str
    share: float


def problems(text: str) -> list[str]:
    """Everything that is wrong with a list of rules, one sentence each; empty when it can be parsed."""
    found: list[str] = []
    services: set[str] = set()
    rules = _rules(text)
    if len(rules) > RULES_MAX:
        return [f"more than {RULES_MAX} canaries"]
    for rule in rules:
        match = _RULE.fullmatch(rule)
        if match is None:
            found.append(f"{rule[:60]!r} is not of the form service:version=10%")
        elif float(match["percent"]) > 100:
            found.append(f"{rule!r} is more than 100%")
        elif match["service"] in services:
            found.append(f"{match['service']} has two canaries; one is possible")
        else:
            services.add(match["service"])
    return found


def parse(text: str) -> dict[str, Canary]:
    """The canary of each service. Raises ValueError naming all problems."""
    wrong = problems(text)
    if wrong:
        raise ValueError("; ".join(wrong))
    matches = [match for rule in _rules(text) if (match := _RULE.fullmatch(rule))]
    return {match["service"]: Canary(match["version"], float(match["percent"]) / 100) for match in matches}


def choose(versions: Mapping[str, str], canary: Canary | None, draw: float) -> list[str]:
    """The addresses (of address -> version) that may serve a call; `draw` is uniform in [0, 1).

    Never empty unless `versions` is.
    """
    if canary is None:
        return list(versions)
    new = [address for address, version in versions.items() if version == canary.version]
    old = [address for address, version in versions.items() if version != canary.version]
    if not new or not old:
        return list(versions)
    return new if draw < canary.share else old


def _rules(text: str) -> list[str]:
    return [rule for part in text.split(",") if (rule := part.strip())]
