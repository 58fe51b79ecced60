"""Did the faults of the scenario happen? If one did not, the run says nothing about it: unknown.

A crash point that no transaction passed, a link that nobody used: the run is an ordinary one, and passing it proves
nothing about the failure in question.
"""

from scenarios.checks.result import CheckResult, Outcome, from_parts, rows_of
from scenarios.history import History

NAME = "faults_happened"


def judge(history: History) -> CheckResult:
    """Every planned fault started and hit something. The value is how many did not."""
    faults = history["faults"]
    recorded = set(faults["id"])
    missing = [{"id": fault.id, "kind": fault.kind} for fault in history.plan.faults if fault.id not in recorded]
    idle = rows_of(
        faults[faults["started_s"].isna() | (faults["hits"] <= 0)][
            ["id", "kind", "target", "planned_s", "hits", "detail"]
        ]
    )
    planned = len(history.plan.faults)
    held = "Every planned fault hit something." if planned > 1 else "The planned fault hit something."
    result = from_parts(NAME, {"did not happen": [*missing, *idle]}, held, judged=planned)
    if result.verdict is not Outcome.FAIL:
        return result
    count = len(missing) + len(idle)
    explanation = f"{count} of {planned} planned faults never hit anything, so the run says nothing about them."
    return CheckResult(**{**vars(result), "verdict": Outcome.UNKNOWN, "explanation": explanation})
