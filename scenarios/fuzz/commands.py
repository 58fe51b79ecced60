"""What `paylab fuzz` does with its arguments: play, show, keep, and choose the exit code."""

import json
import os
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from scenarios.console import BAD_INPUT, FAILED, INTERRUPTED, NO_VERDICT, PASSED, messages, output, say, stop
from scenarios.fuzz.campaign import SeedResult, Summary, campaign
from scenarios.fuzz.draw import draw
from scenarios.fuzz.plan import BadPlan, FuzzPlan
from scenarios.fuzz.play import Judged, judge_one
from scenarios.fuzz.shrink import shrink
from scenarios.fuzz.story import story
from scenarios.progress import CountProgress

TOLD_MAX = 3
"""Failures that are shrunk and told; of the others the seeds are named."""


def tell_seed(seed: int, as_json: bool) -> int:
    """Play one seed and tell everything; the exit code."""
    return _tell(judge_one(draw(seed)), as_json)


def tell_plan(path: Path, as_json: bool) -> int:
    """Play a kept plan and tell everything; the exit code."""
    try:
        plan = FuzzPlan.from_json(path.read_text(encoding="utf-8"))
    except BadPlan as error:
        stop(BAD_INPUT, *(f"{path}: {problem}" for problem in error.problems))
    except UnicodeDecodeError as error:
        stop(BAD_INPUT, f"{path}: not text: {error}")
    except OSError as error:
        stop(BAD_INPUT, f"{path}: {error.strerror}; expected a plan that `paylab fuzz` has kept")
    return _tell(judge_one(plan), as_json)


def _tell(judged: Judged, as_json: bool) -> int:
    if as_json:
        findings = [{"name": each.name, "explanation": each.explanation} for each in judged.findings]
        verdict = "fail" if judged.findings else "pass"
        about = {"seed": judged.played.plan.seed, "verdict": verdict, "digest": judged.played.digest}
        _print(json.dumps({**about, "findings": findings}, indent=2))
    else:
        _print(story(judged))
    return FAILED if judged.findings else PASSED


def play_many(seed: int, runs: int, workers: int, failures_max: int, shrinks: bool, out: Path, as_json: bool) -> int:
    """A campaign with its progress, its failures told and kept, and its summary; the exit code. Raises OSError."""
    with CountProgress("fuzz", "runs", runs, messages) as display:
        summary = campaign(
            seed, runs, workers or os.cpu_count() or 1, failures_max, lambda so_far: _show(display, so_far)
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / "summary.json").write_text(json.dumps(summary.to_dict(), indent=2) + "\n", encoding="utf-8")
    for failure in summary.failures[: TOLD_MAX if not summary.interrupted else 0]:
        _keep(failure, shrinks, out)
    if as_json:
        _print(json.dumps(summary.to_dict(), indent=2))
    else:
        output.print(summary_table(summary))
    _warn(summary)
    return exit_code(summary)


def _show(display: CountProgress, summary: Summary) -> None:
    display.show(summary.runs, f"{summary.runs_per_s:.0f} runs/s, {len(summary.failures)} failed", summary.elapsed_s)


def exit_code(summary: Summary) -> int:
    """130 if it was interrupted, else by what was found."""
    if summary.interrupted:
        return INTERRUPTED
    if summary.failures:
        return FAILED
    return PASSED if summary.runs else NO_VERDICT


def _keep(failure: SeedResult, shrinks: bool, out: Path) -> None:
    judged = judge_one(draw(failure.seed))
    title = f"seed {failure.seed}: {', '.join(failure.findings)}"
    if shrinks:
        before = judged.played.plan
        shrunk = shrink(judged)
        judged, after = shrunk.judged, shrunk.plan
        title += (
            f"\nshrunk from {len(before.faults)} faults and {len(before.attempts)} attempts to {len(after.faults)} and "
            f"{len(after.attempts)} in {shrunk.tries} tries, keeping: {shrunk.finding}"
        )
    plan_file, told = out / f"{failure.seed}.json", f"{title}\n\n{story(judged)}"
    plan_file.write_text(judged.played.plan.to_json(), encoding="utf-8")
    (out / f"{failure.seed}.txt").write_text(told, encoding="utf-8")
    say(told)
    say(f"again: paylab fuzz --plan {plan_file}\n")


def _warn(summary: Summary) -> None:
    others = [str(failure.seed) for failure in summary.failures[TOLD_MAX:]]
    if others:
        say(f"{len(others)} more seeds fail: {', '.join(others[:20])}{' ...' if len(others) > 20 else ''}")
    if summary.never_seen:
        say(f"warning: never seen in these {summary.runs} runs: {'; '.join(summary.never_seen)}")
    if summary.interrupted:
        say(f"paylab: interrupted after {summary.runs} of {summary.planned} runs")


def _print(text: str) -> None:
    output.print(text.rstrip("\n"), markup=False, highlight=False, soft_wrap=True)


def summary_table(summary: Summary) -> Table:
    """The campaign in figures."""
    counts, data = summary.counts, summary.to_dict()
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    rows = {
        "verdict": f"{data['verdict']}: {len(summary.failures)} of {summary.runs} runs broke something",
        "runs": f"{summary.runs} in {summary.elapsed_s:.1f} s, {summary.runs_per_s:.0f} a second",
        "digests": f"{data['distinct_digests']} distinct; of all {data['digest'][:16]}",
        "operations": f"{counts['operations']}: {_outcomes(summary)}",
        "transactions": f"{counts['commits']} committed ({counts['refunds committed']} refunds), "
        f"{counts['aborts']} aborted",
        "crashes": f"{counts['crashes']}; {data['crash_points_reached']} of {data['crash_points']} crash points passed",
        "recoveries": f"{counts['take_overs']} take-overs, {counts['own_recoveries']} own, "
        f"{counts['participant_recoveries']} of participants in doubt",
        "inquiries": f"{data['orphan_inquiries']} of orphans; {data['zombies_fenced']} zombies fenced",
        "faults": ", ".join(f"{count} {name[6:]}" for name, count in sorted(counts.items()) if name[:6] == "fault "),
    }
    for name, text in rows.items():
        table.add_row(name, escape(text))
    return table


def _outcomes(summary: Summary) -> str:
    return ", ".join(f"{summary.counts[f'told {outcome}']} {outcome}" for outcome in ("ok", "fail", "unknown"))
