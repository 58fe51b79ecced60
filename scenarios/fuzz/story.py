"""A run as a story that people can follow: who wanted what, what broke when, what everybody did, what was wrong."""

from collections.abc import Iterator
from typing import Any

from scenarios.fuzz.plan import FuzzPlan
from scenarios.fuzz.play import Finding, Judged
from scenarios.plan import PlannedFault
from simulator.inputs import Attempt, Purchase

EVIDENCE_MAX = 3
TIMING = ("gateway.prepare_timeout_ms", "gateway.lease_ms", "order.orphan_interval_ms", "payment.orphan_interval_ms")
Line = tuple[float, str, str]
"""When, who, what."""


def story(judged: Judged) -> str:
    """The whole story: plan, events in order, verdict."""
    plan = judged.played.plan
    parts = (_platform(plan), _customers(plan), _faults(plan), _events(judged), _verdict(judged))
    return "\n".join(line for part in parts for line in part) + "\n"


def _platform(plan: FuzzPlan) -> Iterator[str]:
    sizes = ", ".join(f"{count} {service}" for service, count in plan.replicas.items())
    yield f"seed {plan.seed}: {sizes}; faults until {plan.storm_s:g} s, calm from {plan.calm_s:g} s"
    yield "  " + ", ".join(f"{name} {plan.settings[name]}" for name in TIMING if name in plan.settings)


def _customers(plan: FuzzPlan) -> Iterator[str]:
    yield "customers"
    for purchase in plan.purchases:
        yield (
            f"  {purchase.key}  user {purchase.user_id} orders {purchase.count} of goods {purchase.goods_id} "
            f"at {purchase.at_s:.3f} s: {'; '.join(_wish(attempt) for attempt in purchase.attempts)}"
        )
    yield _probe(plan.probe)


def _wish(attempt: Attempt) -> str:
    what = f"pays by {attempt.method}" if attempt.kind == "pay" else "refunds"
    patience = "" if attempt.patience_s is None else f", gives up after {attempt.patience_s:g} s"
    return f"{attempt.key} {what}{patience}"


def _probe(probe: Purchase) -> str:
    return f"  {probe.key}  user {probe.user_id} pays in the calm, and must succeed"


def _faults(plan: FuzzPlan) -> Iterator[str]:
    yield "faults" if plan.faults else "no faults"
    for fault in plan.faults:
        until = "" if fault.until_s == fault.at_s else f" to {fault.until_s:.3f} s"
        yield f"  {fault.id}  {fault_text(fault)}, from {fault.at_s:.3f} s{until}"


def fault_text(fault: PlannedFault) -> str:
    """A fault for people: `loss payment -> channel (share 0.6)`."""
    shown = {"from", "to", "service", "replica", "path", "route"}
    more = ", ".join(f"{name} {value}" for name, value in fault.parameters.items() if name not in shown)
    return f"{fault.kind} {fault.target}" + (f" ({more})" if more else "")


# ---- what happened --------------------------------------------------------------------------------------------------


def _events(judged: Judged) -> Iterator[str]:
    rows = judged.played.aftermath.rows
    lines = [*_fault_lines(rows), *_life_lines(rows), *_client_lines(rows), *_platform_lines(rows)]
    yield "what happened"
    for at_s, who, what in sorted(lines, key=lambda line: line[0]):
        yield f"  {at_s:8.3f} s  {who:<11}  {what}"


def _fault_lines(rows: dict[str, list[Any]]) -> Iterator[Line]:
    for row in rows["faults"]:
        if row["hits"]:
            yield row["started_s"], "fault", f"{row['id']} {row['kind']} {row['target']} begins, hits {row['hits']}"
        if row["hits"] and row["ended_s"] == row["ended_s"] and row["kind"] not in ("kill", "crash_at"):
            yield row["ended_s"], "fault", f"{row['id']} is over"


def _life_lines(rows: dict[str, list[Any]]) -> Iterator[Line]:
    for row in rows["services"]:
        if row["event"] in ("died", "restarted", "paused", "resumed"):
            yield row["at_s"], row["replica"], row["event"]


def _client_lines(rows: dict[str, list[Any]]) -> Iterator[Line]:
    for request in rows["requests"]:
        _, started_s, ended_s, operation, _, step, status, _, error, replica, _ = request
        if step not in ("pay", "refund"):
            continue
        yield started_s, operation, f"asks to {step}"
        answer = f"{status} {error or 'success'} from {replica}" if status else error
        yield ended_s, operation, f"hears: {answer}"
    for row in rows["payments"]:
        about = f" ({row['error']})" if row["error"] else ""
        yield row["ended_s"], row["operation"], f"takes it for {row['outcome']}{about}: {row['gid'] or 'no number'}"


def _platform_lines(rows: dict[str, list[Any]]) -> Iterator[Line]:
    for row in rows["transactions"]:
        amount = f" {row['amount_minor'] / 100:.2f} {row['currency']} by {row['method']}, key {row['key']}"
        detail = amount if row["event"] == "begun" else f" {row['value']}"
        yield row["at_s"], row["role"], f"{row['gid']} {row['event']}{detail}"


# ---- what was wrong -------------------------------------------------------------------------------------------------


def _verdict(judged: Judged) -> Iterator[str]:
    if not judged.findings:
        settled_s = judged.played.aftermath.settled_s or 0.0
        yield f"verdict: pass; everything was settled {settled_s:.1f} s after the faults"
    else:
        yield "verdict: FAIL"
    for finding in judged.findings:
        yield from finding_lines(finding)
    yield f"digest {judged.played.digest}"


def finding_lines(finding: Finding) -> Iterator[str]:
    """A finding and its worst rows."""
    yield f"  {finding.name}: {finding.explanation}"
    for row in finding.evidence[:EVIDENCE_MAX]:
        yield "    " + ", ".join(f"{name}={value}" for name, value in row.items() if value is not None)
