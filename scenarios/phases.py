"""The named parts of a run, as windows of time; thresholds say `during` one of them, reports shade them."""

from collections.abc import Sequence
from typing import NamedTuple


class PhaseWindow(NamedTuple):
    """A phase: [start_s, end_s), seconds from the first possible arrival."""

    name: str
    start_s: float
    end_s: float


def phase_windows(
    stage_lengths_s: Sequence[float], warmup_s: float, recovery_s: float, faults: Sequence[tuple[float, float]]
) -> list[PhaseWindow]:
    """Every phase that has a length; `faults` are (start, end). Phases overlap: `load` contains `baseline`.

    `load` is the default of every metric: from the end of the warm-up to the end of the load.
    """
    load_s = sum(stage_lengths_s)
    run_s = load_s + recovery_s
    first_s = min((start for start, _ in faults), default=load_s)
    last_s = min(max((end for _, end in faults), default=run_s), run_s)
    windows = [
        PhaseWindow("warmup", 0.0, warmup_s),
        PhaseWindow("load", warmup_s, load_s),
        PhaseWindow("baseline", warmup_s, first_s),
        *_stages(stage_lengths_s),
        PhaseWindow("recovery", load_s, run_s),
    ]
    if faults:
        windows += [PhaseWindow("faults", first_s, last_s), PhaseWindow("after", last_s, load_s)]
    return [window for window in windows if window.end_s > window.start_s]


def _stages(lengths_s: Sequence[float]) -> list[PhaseWindow]:
    start_s, windows = 0.0, []
    for number, length_s in enumerate(lengths_s, 1):
        windows.append(PhaseWindow(f"stage{number}", start_s, start_s + length_s))
        start_s += length_s
    return windows
