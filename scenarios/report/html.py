"""report.html: one file that needs nothing else. One run, or several side by side on the same axes."""

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from scenarios.checks import CheckResult, Verdict
from scenarios.checks.result import Row
from scenarios.checks.transactions import troubles
from scenarios.report import doubt, plots, wording
from scenarios.report.run import Run
from scenarios.units import format_duration

CURVES = {
    "throughput": (
        "Operations per second",
        "By the second in which they ended; an operation is one journey of one client.",
        (("ok", "succeeded"), ("fail", "failed"), ("unknown", "no definite answer")),
    ),
    "latency": (
        "Time to pay",
        "Successful payments from their intended start, checkout included, by the second of that start; logarithmic.",
        (("p50", "p50"), ("p95", "p95"), ("p99", "p99")),
    ),
    "in_doubt": (
        "Transactions in doubt",
        "From a participant's yes until it applied the outcome: goods and money are held meanwhile.",
        (("doubt", "in doubt"),),
    ),
}
DISTRIBUTION = plots.Size(11.7, 3.0)
WIDE, HALF, NARROW = plots.Size(9.6, 2.35), plots.Size(5.6, 2.35), plots.Size(4.4, 2.35)
"""A plot has the page's width, half of it beside another run's, and a phone's."""


def page(runs: Sequence[Run]) -> str:
    """The whole document."""
    environment = Environment(
        loader=PackageLoader("scenarios.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["cell"] = wording.cell
    return environment.get_template("template.html.j2").render(**_content(runs))


def _content(runs: Sequence[Run]) -> dict[str, Any]:
    first = runs[0].verdict
    same = len({run.verdict.scenario for run in runs}) == 1
    return {
        "title": first.scenario if same else " / ".join(run.verdict.scenario for run in runs),
        "question": first.question if same else "How do these runs compare?",
        "runs": [_run(run) for run in runs],
        "checks": _checks(runs),
        "figures": _figures(runs),
        "curves": _curves(runs),
        "doubt": doubt.section(runs, [_name(run) for run in runs], {"wide": DISTRIBUTION, "narrow": NARROW}),
        "scenarios_differ": not same,
    }


def _run(run: Run) -> dict[str, Any]:
    verdict = run.verdict
    return {
        "name": _name(run),
        "world": verdict.world,
        "scenario": verdict.scenario,
        "seed": verdict.seed,
        "verdict": verdict.verdict.value,
        "mark": wording.MARKS[verdict.verdict],
        "headline": wording.headline(verdict),
        "not_asked": wording.not_asked(verdict),
        "losses": _losses(verdict),
        "passed": sum(check.verdict == "pass" for check in verdict.checks),
        "judged": len(verdict.checks),
        "story": wording.story(run),
        "started_at": verdict.started_at[:19].replace("T", " "),
        "digest": verdict.history_sha256,
        "faults": [_fault(fault) for fault in run.faults.to_dict("records")],
        "troubled": bool(troubles(run.history)),
        "settings": _settings(run),
        "command": _command(verdict),
    }


def _command(verdict: Verdict) -> str:
    command = f"paylab run {verdict.scenario} --world {verdict.world} --seed {verdict.seed}"
    # Who compares protocols runs one scenario with both; which one it was must not be left to the reader.
    protocol = verdict.platform.get("protocol", "")
    return f"{command} --set platform.protocol={protocol}" if verdict.not_asked else command


def _losses(verdict: Verdict) -> dict[str, Any] | None:
    found = verdict.losses
    if not found.get("orders"):
        return None
    return {
        "sentence": wording.losses(verdict),
        "broken": found["broken"],
        "totals": [{**row, "amount": wording.money(row["lost_minor"], row["currency"])} for row in found["totals"]],
        "rows": [
            {
                **row,
                "lost": wording.money(row["lost_minor"], row["currency"]),
                "taken": wording.money(row["taken_minor"], row["currency"]),
                "total": wording.money(row["total_minor"], row["currency"]),
            }
            for row in found["evidence"]
        ],
    }


def _name(run: Run) -> str:
    return f"{run.verdict.world} · seed {run.verdict.seed}"


def _fault(fault: dict[Any, Any]) -> Row:
    happened = fault["started_s"] == fault["started_s"]
    ended = fault["ended_s"] == fault["ended_s"]
    window = f"{fault['started_s']:.2f} to {fault['ended_s']:.2f} s" if ended else f"from {fault['started_s']:.2f} s"
    return {
        "label": fault["label"], "kind": fault["kind"], "target": fault["target"], "hits": int(fault["hits"]),
        "planned": f"{fault['planned_s']:g} s", "window": window if happened else "never", "detail": fault["detail"],
    }  # fmt: skip


def _checks(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One entry a check, in order, with its result in every run (None where that run was not judged by it)."""
    found = [{check.name: check for check in run.verdict.checks} for run in runs]
    names = dict.fromkeys(name for checks in found for name in checks)
    return [
        {
            "title": wording.title(name),
            "threshold": next(checks[name].threshold for checks in found if name in checks),
            "meaning": wording.meaning(name),
            "results": [_result(run, checks.get(name)) for run, checks in zip(runs, found, strict=True)],
        }
        for name in names
    ]


def _result(run: Run, check: CheckResult | None) -> dict[str, Any] | None:
    if check is None:
        return None
    columns = list(dict.fromkeys(column for row in check.evidence for column in row))
    return {
        "run": _name(run),
        "negated": check.negated,
        "verdict": check.verdict.value,
        "mark": wording.MARKS[check.verdict],
        "value": wording.value(check),
        "explanation": check.explanation,
        "parts": [vars(part) for part in check.parts] if len(check.parts) > 1 else [],
        "columns": columns,
        "rows": [[row.get(column, "") for column in columns] for row in check.evidence],
    }


def _figures(runs: Sequence[Run]) -> list[dict[str, Any]]:
    shown = {
        metric: name
        for metric, name in wording.KEY_FIGURES.items()
        if any(metric in run.verdict.metrics for run in runs)
    }
    return [
        {"name": name, "values": [wording.figure(run.verdict, metric) for run in runs]}
        for metric, name in shown.items()
    ]


def _curves(runs: Sequence[Run]) -> list[dict[str, Any]]:
    shared = plots.limits(runs)
    sizes = {"wide": WIDE, "narrow": NARROW} if len(runs) == 1 else {"half": HALF}
    return [
        {
            "name": name,
            "title": title,
            "meaning": meaning,
            "legend": legend,
            "drawings": [
                {
                    "run": _name(run),
                    "sizes": {size: plots.draw(name, run, shape, shared) for size, shape in sizes.items()},
                }
                for run in runs
            ],
        }
        for name, (title, meaning, legend) in CURVES.items()
    ]


def _settings(run: Run) -> list[tuple[str, str]]:
    plan, platform, load = run.history.plan, run.history.plan.platform, run.history.plan.load
    asked = [
        f"{stage.rate_per_s:g}/s for {format_duration(stage.end_s - stage.start_s)}"
        if load.kind == "open"
        else f"{stage.users} users for {format_duration(stage.end_s - stage.start_s)}"
        for stage in load.stages
    ]
    rows = [
        ("protocol", platform.protocol),
        ("topology", platform.topology),
        (
            "replicas",
            ", ".join(f"{count} {service}" for service, count in platform.replicas.items()) or "one of each",
        ),
        ("changed settings", ", ".join(f"{name} = {value}" for name, value in platform.settings.items()) or "none"),
        ("load", f"{load.kind}: {', '.join(asked)}"),
        ("journeys", _shares(load.mix)),
        ("methods", _shares(load.methods)),
        (
            "client",
            f"{load.timeout_s:g} s per attempt, {load.deadline_s:g} s per operation, at most {load.pool} at once",
        ),
        ("phases", ", ".join(f"{phase.name} {phase.start_s:g} to {phase.end_s:g} s" for phase in plan.phases)),
    ]
    known = {"question", "started_at"}
    return rows + [
        (name.replace("_", " "), str(value)) for name, value in run.verdict.meta.items() if name not in known
    ]


def _shares(weights: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in weights.items() if share)
