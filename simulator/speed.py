"""How fast a machine's cores were as time passed: what one and the same piece of work took, again and again.

A virtual core shares its physical one with strangers. While one of them is at work there, everything takes half as long
again, for a tenth of a second or for a minute, and no account of the guest shows it. So the speed of each core is
recorded (`scenarios.calibrate.speed`), and the model's cores take it from such a record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Courses = tuple[tuple[float, ...], ...]
"""Core -> a figure for each moment, evenly spaced."""


@dataclass(frozen=True)
class SpeedRecord:
    """`per_s` looks a second at each core; `work_s`: what the work took at each."""

    per_s: float
    work_s: Courses

    def relative_to(self, work_s: float, elasticity: float = 1.0) -> Courses:
        """How many times longer a service's work takes at each look than when the probe's takes `work_s`."""
        return tuple(tuple((figure / work_s) ** elasticity for figure in course) for course in self.work_s)

    def to_json(self) -> dict[str, Any]:
        """Whole microseconds, a line a core."""
        lines = [" ".join(str(round(figure * 1e6)) for figure in course) for course in self.work_s]
        return {"per_s": self.per_s, "requests_us": lines}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "SpeedRecord":
        """What `to_json` gave. Raises ValueError for what an earlier probe recorded."""
        if "requests_us" not in document:
            raise ValueError("the speed was recorded by another probe than this version's; calibrate, or play, again")
        courses = (tuple(int(figure) / 1e6 for figure in line.split()) for line in document["requests_us"])
        return cls(document["per_s"], tuple(courses))
