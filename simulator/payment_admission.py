"""Which payments a gateway begins: no more than it can decide in time, by the shipped limits of undecided payments."""

from settlement.policies.concurrency_limit import Gate
from settlement.policies.doors import payments_limit
from simulator.inputs import SimulationInput
from simulator.kernel import Kernel


class PaymentAdmission:
    """Around every payment and refund from its beginning to its decision."""

    def __init__(self, kernel: Kernel, plan: SimulationInput) -> None:
        self._kernel = kernel
        timeout_ms = float(plan.setting("gateway.prepare_timeout_ms"))
        limit = payments_limit(
            plan.setting("gateway.admission_mode"),
            plan.setting("gateway.admission_max"),
            plan.setting("gateway.admission_min"),
            lambda: timeout_ms,
        )
        self._gate = Gate(limit) if limit is not None else None

    def try_begin(self) -> bool:
        """Whether one more may begin; if so it must `end`."""
        return self._gate is None or self._gate.try_enter()

    def end(self, began_s: float) -> None:
        """One that began then is decided, or was not begun after all."""
        if self._gate is not None:
            now_s = self._kernel.now
            self._gate.leave((now_s - began_s) * 1000, now_s * 1000)
