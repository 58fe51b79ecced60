"""What a client may conclude from an answer, or from the lack of one: ok, fail or unknown.

The rule of the whole lab: when in doubt, unknown. A timeout or a reset says nothing about whether the payment was made;
a 5xx is never success, and no failure either unless its body says that the transaction has failed. Only a refused
connection is certain: nothing was sent, so nothing happened.
"""

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any


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


@dataclass(frozen=True)
class Reply:
    """An answer to one HTTP attempt. status 0: none came, and `sent` says whether the request may have arrived."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    sent: bool = True
    replica: str = ""

    @property
    def ok(self) -> bool:
        """True for a readable 2xx."""
        return classify(self) is Outcome.OK

    def describe(self) -> str:
        """The error column: '' for success, else the problem's code or the transport's error."""
        if self.ok:
            return ""
        return self.error or str(self.body.get("code") or self.body.get("reason") or f"http_{self.status}")


# Refusals that say "not now" or "not you" about this attempt and nothing about an earlier one with the same key.
_SAYS_NOTHING = frozenset({401, 403, 408, 425, 429})
_STILL_RUNNING = "idempotency_key_in_use"
_NOT_YET = "payment_not_settled"
# Turned away, by a replica with too much to do or by a gateway that must not go on without risk: nothing was begun.
_TURNED_AWAY = frozenset({"overloaded", "risk_unavailable"})


def classify(reply: Reply) -> Outcome:
    """The outcome of a single request."""
    if reply.status == 0:
        return Outcome.UNKNOWN if reply.sent else Outcome.FAIL
    if reply.error:
        return Outcome.UNKNOWN
    if 200 <= reply.status < 300:
        return Outcome.OK
    if reply.body.get("code") in _TURNED_AWAY:
        return Outcome.FAIL
    if reply.status >= 500 and reply.body.get("status") != "failed":
        return Outcome.UNKNOWN
    return Outcome.FAIL


def _comes_back(reply: Reply) -> bool:
    """Refused for now, nothing begun, and the client was asked to come back."""
    return reply.status == 429 or reply.body.get("code") in {_NOT_YET, *_TURNED_AWAY}


def judge(reply: Reply, *, in_doubt: bool) -> Answer:
    """What `reply` means for a money operation; `in_doubt`: an earlier attempt may have been executed."""
    outcome = classify(reply)
    if outcome is Outcome.UNKNOWN or reply.body.get("code") == _STILL_RUNNING:
        return Answer.DOUBTFUL
    if not reply.sent or (in_doubt and reply.status in _SAYS_NOTHING) or _comes_back(reply):
        return Answer.NOT_DONE
    if outcome is Outcome.FAIL or reply.body.get("status") == "failed":
        return Answer.FAILED
    return Answer.SUCCEEDED if reply.body.get("status") == "succeeded" else Answer.PROCESSING
