"""junit.xml: a run as a test suite, a check as a test case, for whatever reads CI results."""

from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from scenarios.checks import CheckResult, Outcome, Verdict
from scenarios.report import wording

EVIDENCE_SHOWN = 5


def write(verdict: Verdict, path: Path) -> None:
    """A failed check is a failure, an invalid run an error, an unknown one is skipped: it was not tested."""
    suite = TestSuite(f"{verdict.scenario} ({verdict.world}, seed {verdict.seed})")
    if verdict.started_at:
        suite.timestamp = verdict.started_at
    about = {"verdict": verdict.verdict, "history_sha256": verdict.history_sha256}
    about |= {"losses": wording.losses(verdict), "not_asked": "; ".join(verdict.not_asked)}
    about |= {"violations_expected": ", ".join(check.name for check in verdict.checks if check.negated)}
    for name, value in about.items():
        if value:
            suite.add_property(name, str(value))
    for check in verdict.checks:
        suite.add_testcase(_case(verdict, check))
    document = JUnitXml("paylab")
    document.add_testsuite(suite)
    document.write(str(path), pretty=True)


def _case(verdict: Verdict, check: CheckResult) -> TestCase:
    case = TestCase(check.name, classname=f"{verdict.scenario}.{verdict.world}", time=0)
    kind = {Outcome.FAIL: Failure, Outcome.INVALID: Error, Outcome.UNKNOWN: Skipped}.get(check.verdict)
    if kind is not None:
        result = kind(check.explanation, str(check.verdict))
        result.text = "\n".join([check.explanation, *map(_line, check.evidence[:EVIDENCE_SHOWN])])
        case.result = [result]
    case.system_out = f"{wording.value(check)} ({check.threshold}). {check.explanation}"
    return case


def _line(row: dict[str, object]) -> str:
    return ", ".join(f"{name}={wording.cell(value)}" for name, value in row.items())
