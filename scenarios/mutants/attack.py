"""What came of pointing one instrument at one mutant (or at the shipped code, which has to survive it)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any


@dataclass(frozen=True)
class Attack:
    """`effort` counts `unit`s (states, runs, cells, rounds); `seconds` is real time.

    `finding`: what is wrong, '' if nothing was found. `trace`: a story of it, line by line; `steps`: how long that is,
    in the instrument's own steps, 0 if there is none.
    """

    instrument: str
    finding: str
    effort: int
    unit: str
    seconds: float = 0.0
    trace: tuple[str, ...] = ()
    steps: int = 0
    steps_of: str = "steps"

    @property
    def killed(self) -> bool:
        """Whether the instrument noticed."""
        return bool(self.finding)

    @property
    def length(self) -> str:
        """How long the trace is, in words."""
        return f"{self.steps} {self.steps_of}" if self.steps else ""

    @property
    def work(self) -> str:
        """The effort in words."""
        return f"{self.effort:,} {self.unit if self.effort != 1 else self.unit.removesuffix('s')}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "trace": list(self.trace), "killed": self.killed, "seconds": round(self.seconds, 3)}


Instrument = Callable[[int, bool], Attack]
"""(seed, whether a trace is wanted although it costs time) -> attack."""


def timed(instrument: Instrument, seed: int, traced: bool) -> Attack:
    """The attack with the real time it took."""
    began_s = perf_counter()
    attack = instrument(seed, traced)
    return replace(attack, seconds=perf_counter() - began_s)
