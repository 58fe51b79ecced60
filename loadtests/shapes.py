"""The number of closed users over time, as the plan's stages say."""

from collections.abc import Callable, Sequence

from locust import LoadTestShape

from scenarios.plan import LoadStage


def users_at(stages: Sequence[LoadStage], now_s: float) -> int | None:
    """Users at work at a moment of the run; None when the last stage is over."""
    for stage in stages:
        if now_s < stage.end_s:
            return stage.users
    return None


class PlanShape(LoadTestShape):
    """Locust's seam for load shapes: it asks once a second."""

    abstract = True

    def __init__(self, stages: Sequence[LoadStage], now_s: Callable[[], float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Locust is untyped
        self._stages = stages
        self._now_s = now_s

    def tick(self) -> tuple[int, float] | None:
        """Users and how many of them to start a second: all at once, a stage is a step."""
        users = users_at(self._stages, self._now_s())
        return None if users is None else (users, max(1.0, float(users)))
