"""An answer to one HTTP attempt, and what the platform's rule says of it (`settlement.policies.conclusions`)."""

from dataclasses import dataclass, field
from typing import Any

from settlement.policies.conclusions import Answer, Outcome, answer_of, outcome_of

__all__ = ["Answer", "Outcome", "Reply", "classify", "judge"]


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


def classify(reply: Reply) -> Outcome:
    """The outcome of a single request."""
    return outcome_of(reply.status, reply.body, sent=reply.sent, broken=bool(reply.error))


def judge(reply: Reply, *, in_doubt: bool) -> Answer:
    """What `reply` means for a money operation; `in_doubt`: an earlier attempt may have been executed."""
    return answer_of(reply.status, reply.body, in_doubt=in_doubt, sent=reply.sent, broken=bool(reply.error))
