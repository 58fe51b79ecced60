"""How long a client goes on, on a clock that only the test moves: an operation ends at its deadline, not about then."""

from __future__ import annotations

import pytest

from loadtests.outcomes import Reply
from loadtests.recorder import NoRecords, OperationRow
from loadtests.users.accounts import Account
from loadtests.users.journeys import PAUSE_FIRST_S, Call, Journey
from scenarios.plan import Arrival

TIMEOUT_S = 0.2
ORDER = {"order_no": "o1", "total_minor": 500, "currency": "CNY"}


class SilentGateway(NoRecords):
    """Everything is answered at once, except the gateway's requests: those time out. Keeps the operations."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.attempts_s: list[float] = []
        self.operations: list[OperationRow] = []

    def now_s(self) -> float:
        return self.at_s

    def pause(self, duration_s: float) -> None:
        self.at_s += duration_s

    def call(self, call: Call) -> Reply:
        if call.service != "gateway":
            return Reply(200, ORDER)
        self.attempts_s.append(self.at_s)
        self.at_s += TIMEOUT_S
        return Reply(0, error="timeout")

    def operation(self, row: OperationRow) -> None:
        self.operations.append(row)


@pytest.mark.parametrize("deadline_s", [0.1, 1.0, 6.0])
def test_an_operation_that_never_gets_an_answer_ends_unknown_at_its_deadline(deadline_s: float) -> None:
    link, arrival = SilentGateway(), Arrival(0, 0.0, "pay", "card", 1, 1, "k0")
    Journey(link, link, Account("login", 1, "token", 10**15), arrival, 0.0, deadline_s).run()
    (operation,) = link.operations
    assert (operation.outcome, operation.gid, operation.error) == ("unknown", "", "deadline passed; last: timeout")
    assert link.attempts_s[0] == 0.0
    assert all(attempt_s < deadline_s for attempt_s in link.attempts_s), "none is begun after the deadline"
    gaps_s = [later - earlier - TIMEOUT_S for earlier, later in zip(link.attempts_s, link.attempts_s[1:], strict=False)]
    assert gaps_s == pytest.approx([min(PAUSE_FIRST_S * 2**number, 1.0) for number in range(len(gaps_s))])
    assert deadline_s - min(PAUSE_FIRST_S * 2 ** len(gaps_s), 1.0) <= operation.ended_s < deadline_s + TIMEOUT_S
