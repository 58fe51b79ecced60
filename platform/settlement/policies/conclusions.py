"""What a client may conclude from an answer, or from the lack of one: ok, fail or unknown.

The rule of the whole lab: when in doubt, unknown. A timeout or a reset says nothing about whether the payment was made;
a 5xx is never success, and no failure either unless its body says that the transaction has failed. Only a refused
connection is certain: nothing was sent, so nothing happened. Clients of the real platform and of the simulated one
judge by these functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Any, Final

from settlement.policies.codes import KEY_IN_USE, NOT_SETTLED, OVERLOADED, RISK_UNAVAILABLE


class Outcome(StrEnum):
    """The three outcomes of a request or of a money operation."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Answer(Enum):
    """What an answer means for a money operation that is still open."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PROCESSING = "processing"  # it has a gid: ask again for the result
    DOUBTFUL = "doubtful"  # it may have been executed: repeat with the same key
    NOT_DONE = "not done"  # this attempt certainly did nothing: repeat with the same key


# By name, because it takes the interpreter ten times as long to find a member in its enum.
_OK, _FAIL, _UNKNOWN = Outcome
_SUCCEEDED = Answer.SUCCEEDED

# Refusals that say "not now" or "not you" about this attempt and nothing about an earlier one with the same key.
_SAYS_NOTHING: Final = frozenset({401, 403, 408, 425, 429})
# Turned away, by a replica with too much to do or by a gateway that must not go on without risk: nothing was begun.
_TURNED_AWAY: Final = frozenset({OVERLOADED, RISK_UNAVAILABLE})
_COME_BACK: Final = _TURNED_AWAY | {NOT_SETTLED}


def outcome_of(status: int, body: Mapping[str, Any], *, sent: bool = True, broken: bool = False) -> Outcome:
    """The outcome of a single request.

    Status 0: no answer came, and `sent` says whether the request may have arrived. `broken`: it came and could not be
    read.
    """
    if status == 0:
        return Outcome.UNKNOWN if sent else Outcome.FAIL
    if broken:
        return Outcome.UNKNOWN
    if 200 <= status < 300:
        return _OK
    if body.get("code") in _TURNED_AWAY:
        return Outcome.FAIL
    if status >= 500 and body.get("status") != "failed":
        return Outcome.UNKNOWN
    return Outcome.FAIL


def answer_of(
    status: int, body: Mapping[str, Any], *, in_doubt: bool, sent: bool = True, broken: bool = False
) -> Answer:
    """What it means for a money operation; `in_doubt`: an earlier attempt may have been executed."""
    outcome = outcome_of(status, body, sent=sent, broken=broken)
    if outcome is _UNKNOWN or body.get("code") == KEY_IN_USE:
        return Answer.DOUBTFUL
    if not sent or (in_doubt and status in _SAYS_NOTHING) or _comes_back(status, body):
        return Answer.NOT_DONE
    if outcome is _FAIL or body.get("status") == "failed":
        return Answer.FAILED
    return _SUCCEEDED if body.get("status") == "succeeded" else Answer.PROCESSING


def _comes_back(status: int, body: Mapping[str, Any]) -> bool:
    """Refused for now, nothing begun, and the client was asked to come back."""
    return status == 429 or body.get("code") in _COME_BACK
