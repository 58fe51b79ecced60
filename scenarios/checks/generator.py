"""Generator honesty: did the clients do what was planned? If not, the run is invalid, neither passed nor failed.

A generator that starts late or not at all asks less of the platform than the scenario says, and every figure flatters.
"""

from scenarios.checks.result import CheckResult, Outcome, Row, rows_of
from scenarios.history import History

NAME = "generator_honest"
DROPPED_SHARE_MAX = 0.01
LAG_P99_S_MAX = 0.25
"""Latency counts from the intended start, so a lag is in every figure; more than this would drown them."""
CPU_S_PER_S_MAX = 0.9
THRESHOLD = (
    f"dropped <= {DROPPED_SHARE_MAX:.0%}, lag p99 <= {LAG_P99_S_MAX:g}s, "
    f"CPU <= {CPU_S_PER_S_MAX:g} core, no worker lost"
)


def judge(history: History) -> CheckResult:
    """Arrivals dropped, lag, CPU, lost workers. The value is the share of arrivals that were dropped."""
    table = history["generator"]
    if table.empty:
        return CheckResult(
            NAME, Outcome.UNKNOWN, None, "ratio", THRESHOLD, "The run has no record of its load generator."
        )
    record = rows_of(table)[0]
    share = record["dropped"] / max(1, record["planned"])
    problems = _problems(record, share)
    lag_ms = record["lag_p99_s"] * 1000
    kept = f"{record['started']} of {record['planned']} planned arrivals started, p99 {lag_ms:.0f} ms late."
    if not problems:
        return CheckResult(NAME, Outcome.PASS, share, "ratio", THRESHOLD, kept)
    listed = "; ".join(row["problem"] for row in problems)
    explanation = f"The load was not what the scenario asked for: {listed}. {kept}"
    return CheckResult(NAME, Outcome.INVALID, share, "ratio", THRESHOLD, explanation, tuple(problems))


def _problems(record: Row, share: float) -> list[Row]:
    found = []
    if share > DROPPED_SHARE_MAX:
        found.append({"problem": f"{share:.1%} of the arrivals were dropped", "dropped": int(record["dropped"])})
    if record["lag_p99_s"] > LAG_P99_S_MAX:
        found.append({"problem": "arrivals started late", "lag_p99_s": round(record["lag_p99_s"], 3)})
    if record["cpu_s_per_s"] > CPU_S_PER_S_MAX:
        found.append({"problem": "the generator had no CPU to spare", "cpu_s_per_s": round(record["cpu_s_per_s"], 3)})
    if record["workers_lost"] > 0:
        found.append({"problem": "generator workers were lost", "workers_lost": int(record["workers_lost"])})
    return found
