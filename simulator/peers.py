"""One service as one caller knows it: the shipped retry budget and circuit breaker, fed so that rest costs nothing.

As long as a breaker is closed, every permit is the same, and the only thing that it remembers of a success is its
number within a slot of the window. So successes are counted here, page by page, and are told to the breaker when a
failure makes it look at them: it decides the same. A budget that is full stays full, whatever is paid into it.
"""

from collections import deque

from settlement.policies.circuit_breaker import SLOTS, CircuitBreaker, Permit, State, Tuning
from settlement.policies.retry import RESERVE, RetryBudget


class Peer:
    """Budget and breaker for the calls of one caller to one service.

    `permit` is that of every call while the breaker is closed, None while it is not; `spent`: the budget is not full.
    """

    __slots__ = ("_breaker", "_budget", "_page_ends_s", "_page_s", "_pages", "_successes", "permit", "spent")

    def __init__(self, share: float, tuning: Tuning) -> None:
        self._budget, self._breaker = RetryBudget(share), CircuitBreaker(tuning)
        self._page_s = tuning.window_ms / 1000 / SLOTS
        self._pages: deque[tuple[float, int]] = deque(maxlen=SLOTS + 1)
        self._page_ends_s, self._successes = 0.0, 0
        self.permit: Permit | None = self._breaker.ask(0.0)
        self.spent = False

    # -- retries ----------------------------------------------------------------------------------------------------

    def call_made(self) -> None:
        """A first attempt pays into the budget; needed only while it is `spent`."""
        self._budget.call_made()
        self.spent = self._budget.balance < RESERVE

    def try_withdraw(self) -> bool:
        """Whether a retry may be made."""
        self.spent = True
        return self._budget.try_withdraw()

    # -- breaker ----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Of the breaker."""
        return self._breaker.state

    def is_open(self, now_s: float) -> bool:
        """Whether a call would be refused."""
        return self.permit is None and self._breaker.is_open(now_s * 1000)

    def ask(self, now_s: float) -> Permit | None:
        """A permit for one call, or None."""
        return self.permit or self._breaker.ask(now_s * 1000)

    def worked(self, permit: Permit, now_s: float) -> None:
        """The call was answered."""
        if permit is not self.permit:
            self._breaker.succeeded(permit, now_s * 1000)
            self._look(now_s)
            return
        if now_s >= self._page_ends_s:
            self._turn_page(now_s)
        self._successes += 1

    def failed(self, permit: Permit, now_s: float) -> None:
        """The call was not answered, or answered with an error of the server."""
        if self.permit is not None:
            self._tell_successes(self.permit)
        self._breaker.failed(permit, now_s * 1000)
        self._look(now_s)

    def abandoned(self, permit: Permit) -> None:
        """The call was never made."""
        self._breaker.abandoned(permit)

    def _turn_page(self, now_s: float) -> None:
        self._pages.append((self._page_ends_s - self._page_s, self._successes))
        self._successes, self._page_ends_s = 0, now_s + self._page_s

    def _tell_successes(self, permit: Permit) -> None:
        self._pages.append((self._page_ends_s - self._page_s, self._successes))
        for began_s, successes in self._pages:
            for _ in range(successes):
                self._breaker.succeeded(permit, began_s * 1000)
        self._pages.clear()
        self._successes = 0

    def _look(self, now_s: float) -> None:
        if self._breaker.state is not State.CLOSED:
            self.permit = None
            self._pages.clear()
            self._successes = 0
        elif self.permit is None:
            self.permit = self._breaker.ask(now_s * 1000)
