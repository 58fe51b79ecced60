"""How often processes had to wake up in each window: no account says so, the model does.

It plays the same plan twice, once with a waking that takes no time; the difference of what they use is so many wakings
(`simulator.hosts.Host`; a short sleep counts for a part of one). What a waking costs is then a term of the fit like any
other: the same visits wake fewer sleepers where more is going on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scenarios.calibrate.experiments import Segment
from scenarios.calibrate.windows import samples
from scenarios.history import History

WAKING_MIN_S = 0.0003
"""A smaller figure is no good for asking the model; the number hardly depends on it."""

Wakings = Mapping[str, float]
"""Process -> how often it woke up in a window."""


def wakings(without: History, woken: History, waking_s: float, segments: Sequence[Segment]) -> list[Wakings]:
    """One a window; from runs without idle work in which waking takes no time, and `waking_s`."""
    pairs = zip(_used(without, segments), _used(woken, segments), strict=True)
    return [
        {name: max(0.0, used_s - least.get(name, 0.0)) / waking_s for name, used_s in used.items()}
        for least, used in pairs
    ]


def _used(history: History, segments: Sequence[Segment]) -> list[dict[str, float]]:
    table = samples(history)
    middle_s = (table["from_s"] + table["at_s"]) / 2
    found = []
    for segment in segments:
        inside = table[(middle_s >= segment.start_s) & (middle_s < segment.until_s)]
        found.append({str(name): float(cpu_s) for name, cpu_s in inside.groupby("process")["cpu_s"].sum().items()})
    return found
