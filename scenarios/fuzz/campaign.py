"""Many seeds on many cores, with results that depend on the seeds alone.

Seeds are played in batches of consecutive ones; joblib spreads the batches and hands them back in order, so whoever
stops after the first failure stops at the same one with one worker or with twenty.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scenarios.fuzz.draw import draw
from scenarios.fuzz.play import judge, play
from scenarios.spreading import spread
from settlement.protocol.crashpoints import CRASH_POINTS

BATCH = 25
ALONE_MAX = 2 * BATCH
"""So few runs are over before another process has started."""

SOMETIMES = {
    "payments committed": "a payment committed",
    "refunds committed": "a refund committed",
    "aborts": "an abort",
    "crashes": "a crash",
    "take_overs": "a take-over of another replica's transaction",
    "own_recoveries": "a gateway that recovered its own transaction",
    "participant_recoveries": "a participant that came back in doubt",
    "point participant.prepared.send.before": "an orphan that asked for the outcome",
    "point coordinator.fenced.canceltimer.before": "a zombie that was fenced",
    "point participant.aborted.reply.before": "a late prepare or a repeated abort",
    "told unknown": "a client that gave up",
    "fault duplicate": "a duplicated request",
    "fault reorder": "a message that was overtaken",
    "fault clock_skew": "a wrong clock",
    "fault slow_disk": "a slow disk",
}
"""What a campaign must have seen to mean anything: a platform that never commits breaks no rule."""


@dataclass(frozen=True)
class SeedResult:
    """What is kept of one run."""

    seed: int
    digest: str
    findings: tuple[str, ...]
    counts: Counter[str]


@dataclass
class Summary:
    """A campaign, as far as it came. `digest` is of the runs' digests in the order of their seeds."""

    planned: int
    runs: int = 0
    elapsed_s: float = 0.0
    interrupted: bool = False
    digests: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[SeedResult] = field(default_factory=list)

    def add(self, result: SeedResult) -> None:
        """One more run."""
        self.runs += 1
        self.digests.append(result.digest)
        self.counts += result.counts
        if result.findings:
            self.failures.append(result)

    @property
    def never_seen(self) -> list[str]:
        """Of SOMETIMES, what did not happen."""
        return [text for name, text in SOMETIMES.items() if not self.counts[name]]

    @property
    def points_reached(self) -> int:
        """How many of the protocol's crash points were passed."""
        return sum(self.counts[f"point {point}"] > 0 for point in CRASH_POINTS)

    @property
    def runs_per_s(self) -> float:
        """Runs a second of real time."""
        return self.runs / self.elapsed_s if self.elapsed_s else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        verdict = "fail" if self.failures else "pass" if self.runs else "unknown"
        counts = {name: count for name, count in sorted(self.counts.items()) if not name.startswith("point ")}
        return {
            "verdict": verdict,
            "planned": self.planned,
            "runs": self.runs,
            "interrupted": self.interrupted,
            "failures": [{"seed": each.seed, "findings": list(each.findings)} for each in self.failures],
            "distinct_digests": len(set(self.digests)),
            "digest": hashlib.sha256("".join(self.digests).encode()).hexdigest(),
            "counts": counts,
            "orphan_inquiries": self.counts["point participant.prepared.send.before"],
            "zombies_fenced": self.counts["point coordinator.fenced.canceltimer.before"],
            "crash_points_reached": self.points_reached,
            "crash_points": len(CRASH_POINTS),
            "never_seen": self.never_seen,
            "elapsed_s": round(self.elapsed_s, 3),
            "runs_per_s": round(self.runs_per_s, 1),
        }


def play_seeds(seeds: range) -> list[SeedResult]:
    """Draw, play and judge some seeds."""
    judged = judge([play(draw(seed)) for seed in seeds])
    return [
        SeedResult(
            each.played.plan.seed,
            each.played.digest,
            tuple(finding.name for finding in each.findings),
            each.played.counts,
        )
        for each in judged
    ]


def campaign(
    seed: int, runs: int, workers: int, failures_max: int = 0, watch: Callable[[Summary], None] | None = None
) -> Summary:
    """Play seeds `seed`, `seed + 1` and so on; stop at failure number `failures_max` (0: never) or at Ctrl-C.

    `watch` is told how far it came, after each batch.
    """
    summary, started_s = Summary(runs), time.perf_counter()
    batches = [range(first, min(first + BATCH, seed + runs)) for first in range(seed, seed + runs, BATCH)]
    results = spread(play_seeds, batches, workers if runs > ALONE_MAX else 1, ordered=True)
    try:
        for batch in results:
            for result in batch:
                summary.add(result)
                if failures_max and len(summary.failures) >= failures_max:
                    return summary
            summary.elapsed_s = time.perf_counter() - started_s
            if watch is not None:
                watch(summary)
    except KeyboardInterrupt:
        summary.interrupted = True
    finally:
        summary.elapsed_s = time.perf_counter() - started_s
        results.close()
    return summary
