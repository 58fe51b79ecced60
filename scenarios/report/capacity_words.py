"""The planner's answer in words: the same for terminal, page and notebook. Reads the document of answer.json."""

from collections.abc import Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]
Rows = list[tuple[str, ...]]
BINDING = {
    "rate": "the rate alone: no process could bear it with fewer replicas",
    "p99": "the p99",
    "failures": "the failures to be tolerated",
    "availability": "the availability",
}


def ms(seconds: float | None) -> str:
    """`27.4 ms`; what has no end is `never`."""
    return "never" if seconds is None else f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def interval(estimate: Mapping[str, float | None]) -> str:
    """`27.4 ms [26.1 ms, 28.8 ms]`."""
    return f"{ms(estimate['value'])} [{ms(estimate['low'])}, {ms(estimate['high'])}]"


def share(value: float) -> str:
    """`99.9 %`, with as many digits as it takes to see how far it is from 100 %."""
    text = f"{value * 100:.7f}".rstrip("0").rstrip(".") if value > 0.99 else f"{value * 100:.3g}"
    return f"{text} %"


def question(objective: Document) -> str:
    """The objective in a line."""
    gone = f", {objective['failures']} of any process gone" if objective["failures"] else ""
    return (
        f"{objective['rate_per_s']:g} payments/s, p99 {ms(objective['p99_s'])}, "
        f"{share(objective['availability'])} available{gone}"
    )


def vector(replicas: Mapping[str, int]) -> str:
    """`3 gateway, 3 order`, the most first."""
    return ", ".join(
        f"{count} {name}" for name, count in sorted(replicas.items(), key=lambda pair: (-pair[1], pair[0]))
    )


def headlines(document: Document) -> list[str]:
    """What the answer is worth, in a few lines."""
    best, odds, room = document["answer"], document["p_slo_met"], document["headroom"]
    asked = document["objective"]["rate_per_s"]
    lines = [
        f"{best['replicas_total']} replicas, {best['cores']:g} cores: {best['cost_per_h']:.2f} an hour, "
        f"{best['cost_per_million_payments']:.3g} a million payments",
        f"p99 {interval(best['whole']['p99_s'])}; available {share(best['availability'])}",
        f"P(SLO met in a run) = {odds['share']:.0%} [{odds['low']:.0%}, {odds['high']:.0%}] of {odds['count']} runs",
        f"binding: {BINDING[document['binding_constraint']]}{_savings(document)}",
        f"headroom: holds at {room['holds_per_s']:.4g}/s (+{room['holds_per_s'] / asked - 1:.0%}), not shown at "
        f"{room['fails_per_s']:.4g}/s; weakest: {vector(room['weakest'])}",
        f"runner-up: {_runner_up(document)}",
    ]
    return [*lines, *([confirmation(document)] if document["confirmation"] else [])]


def _savings(document: Document) -> str:
    saved = [
        f"{row['saved']} replica{'s' if row['saved'] != 1 else ''} fewer without {BINDING[row['requirement']]}"
        for row in document["requirements"]
        if row["saved"]
    ]
    return f" ({'; '.join(saved)})" if saved else ""


def _runner_up(document: Document) -> str:
    option = document["runner_up"]
    if option is None:
        return "none was found"
    return (
        f"{vector(option['replicas'])}: {option['cost_per_million_payments']:.3g} a million, "
        f"p99 {ms(option['whole']['p99_s']['value'])}"
    )


def confirmation(document: Document) -> str:
    """What the real run said, or why there was none."""
    found = document["confirmation"]
    needs = f"{found['cores_needed']:.2g} cores of work, this machine has {found['cores_here']}"
    if not found["played"]:
        return f"not confirmed by a real run: {needs}"
    word = {"pass": "confirmed by", "fail": "REFUTED by"}.get(found["verdict"], "not decided by")
    return (
        f"{word} a real run of {found['seconds']:g} s ({needs}): p99 {ms(found['p99_s'])}, "
        f"{share(found['success'])} succeeded"
    )


def demands(document: Document) -> Rows:
    """One row a process: visits, times, replicas, how busy, what one and what all of them bear."""
    replicas = document["answer"]["replicas"]
    return [
        (
            row["process"], f"{row['visits']:.2f}", f"{row['per_visit_s'] * 1000:.2f}",
            f"{row['demand_s'] * 1000:.2f}", str(replicas[row["process"]]), f"{row['utilisation']:.0%}",
            f"{row['saturation_per_s'][0]:.0f}/s", f"{row['saturation_per_s'][replicas[row['process']] - 1]:.0f}/s",
        )
        for row in document["demand_table"]
    ]  # fmt: skip


def states(document: Document) -> Rows:
    """The answer whole, with spares gone, with deaths while it runs; and the runner-up."""
    best, rows = document["answer"], []
    rows.append(_state("answer, whole", best["whole"]))
    rows += [_state(f"  {gone(best, name)} gone", judged) for name, judged in best["degraded"].items()]
    for death in document["deaths"]:
        lost = death["lost"]["value"]
        name = f"  {death['killed']} {death['process']} killed ({lost:.3g} lost)"
        rows.append(_state(name, death["after"]))
    if document["runner_up"] is not None:
        rows.append(_state("runner-up, whole", document["runner_up"]["whole"]))
        rows += [
            _state(f"  {gone(document['runner_up'], name)} gone", judged)
            for name, judged in document["runner_up"]["degraded"].items()
        ]
    return rows


def gone(option: Document, process: str) -> str:
    """`1 gateway`."""
    return f"{option['spares'][process]} {process}"


def _state(name: str, judged: Document) -> tuple[str, ...]:
    met = "yes" if judged["meets"] else judged["misses"]
    return (name, interval(judged["p99_s"]), share(judged["success"]["value"]), str(judged["replications"]), met)


def reasons(document: Document) -> Rows:
    """Why not one fewer, process by process."""
    return [(row["process"], row["constraint"], row["text"]) for row in document["why_not_fewer"]]


def effects(document: Document) -> Rows:
    """Sensitivity, the strongest first."""
    return [
        (
            row["process"], f"{row['factor'] - 1:+.0%}", ms(row["p99_s"]["value"]), _change(row["difference_s"]),
            "yes" if row["meets"] else "NO",
        )
        for row in document["sensitivity"]
    ]  # fmt: skip


def _change(estimate: Mapping[str, float | None]) -> str:
    values = [estimate[name] for name in ("value", "low", "high")]
    if None in values:
        return "no end"
    value, low, high = (f"{each * 1000:+.2g}" for each in values if each is not None)
    return f"{value} ms [{low}, {high}]"


def laws(document: Document) -> list[str]:
    """Bottleneck, knee, Little, and how the search went."""
    found, search = document["laws"], document["search"]
    discarded = ", ".join(f"{count} {reason}" for reason, count in search["discarded"].items()) or "none"
    return [
        f"bottleneck {found['bottleneck']}: no more than {found['capacity_per_s']:.4g} payments/s",
        f"a payment takes {ms(found['residence_s'])} with nobody before it (p99 {ms(found['unloaded_p99_s'])}); "
        f"knee N* = {found['knee']:.3g} at once",
        f"Little: {found['customers']:.3g} under way at the rate asked for; the pilot is "
        f"{abs(found['little_error']):.1%} from N = X R",
        f"cheaper vectors discarded: {discarded}{'' if search['complete'] else '; the search was cut short'}",
        f"{search['payments_simulated']:,} payments simulated, {search['vectors_simulated']} vectors; simulation is "
        f"{search['allowance']:.2f} times the screen",
    ]


def option_rows(options: Sequence[tuple[str, Document | None]]) -> Rows:
    """Answer and runner-up side by side."""
    return [
        (
            name, vector(option["replicas"]), f"{option['cores']:g}", f"{option['cost_per_h']:.2f}",
            f"{option['cost_per_million_payments']:.3g}", interval(option["whole"]["p99_s"]),
            share(option["availability"]),
        )
        for name, option in options if option is not None
    ]  # fmt: skip
