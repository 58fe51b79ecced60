"""A run to look at: 40 s of payments, two crashes of the gateway, recovery. Same numbers every time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy

from scenarios import history as histories
from scenarios.checks import Verdict, check
from scenarios.history import History
from scenarios.plan import LoadStage, Phase

from ..checks.histories import Run, load_plan

EXPECTATIONS = (
    "atomic", "money_conserved", "client_truth", "availability.success >= 90%",
    "latency.pay.p99 < 1500ms during baseline", "in_doubt.max < 12s", "recovery.time < 14s",
)  # fmt: skip
CRASHES = ((12.0, 13.9), (24.0, 26.1))


def crashing(world: str = "simulated", wrong: bool = False, seed: int = 7, per_s: float = 12.0) -> History:
    """The run. `wrong`: two payments lose a participant's commit, one client is told a lie."""
    random = numpy.random.default_rng(seed)
    run = Run(load_s=40.0, duration_s=50.0).grant()
    run.phases = [
        Phase("warmup", 0, 4), Phase("load", 4, 40), Phase("baseline", 4, 12), Phase("faults", 12, 26),
        Phase("after", 26, 40), Phase("recovery", 40, 50), Phase("stage1", 0, 20), Phase("stage2", 20, 40),
    ]  # fmt: skip
    run.load = load_plan(stages=(LoadStage(0, 20, per_s), LoadStage(20, 40, per_s)))
    run.rows["stock"][0].update(initial_units=10_000, available_units=10_000)
    for number, at_s in enumerate(numpy.cumsum(random.exponential(1 / per_s, int(40 * per_s))).tolist()):
        _arrival(run, number, at_s, random)
    for number, (died_s, back_s) in enumerate(CRASHES):
        run.fault("crash_at", died_s, back_s)
        run.change("faults", lambda row, n=number: row["id"] == f"f{n + 1}", planned_s=died_s - 0.4, detail="decided")
        for event, at_s in (("died", died_s), ("restarted", back_s - 0.6), ("ready", back_s)):
            run.add("services", service="gateway", replica="gateway-0", event=event, at_s=at_s)
    if wrong:
        _break(run)
    built = run.build()
    return History(built.tables, built.plan, world, {**built.meta, "question": QUESTION})


QUESTION = "Does a payment stay atomic when the gateway dies between deciding and telling anyone?"


def judged_folder(parent: Path, history: History, name: str = "", expectations: Sequence[str] = ()) -> Path:
    """A run folder with its history and verdict, as the runner leaves it."""
    folder = parent / (name or f"20260131-120000-coordinator-crash-{history.world}-{history.plan.seed}")
    folder.mkdir(parents=True)
    histories.write(history, folder)
    (folder / "verdict.json").write_text(json.dumps(verdict_of(history, expectations).to_dict()), encoding="utf-8")
    return folder


def verdict_of(history: History, expectations: Sequence[str] = ()) -> Verdict:
    return check(history, expectations or EXPECTATIONS)


def _arrival(run: Run, number: int, at_s: float, random: numpy.random.Generator) -> None:
    lasts_s = float(random.lognormal(-2.8, 0.5))
    if number % 4 == 3:
        run.request(f"a{number}", at_s, lasts_s, "unknown" if _down(at_s) else "ok")
        return
    method = ("card", "wallet", "balance")[number % 3]
    back_s = _down(at_s)
    doubt_s = back_s - at_s + float(random.exponential(0.8)) if back_s else float(random.exponential(0.02))
    lost = bool(back_s) and number % 3 == 0
    run.payment(f"a{number}", at_s, method, told="unknown" if lost else "ok", doubt_s=doubt_s)
    waited_s = lasts_s + (doubt_s if back_s else 0) + (4 if lost else 0)
    run.change("payments", lambda row: row["key"] == f"a{number}-pay", ended_s=at_s + waited_s)


def _down(at_s: float) -> float:
    return next((back_s for died_s, back_s in CRASHES if died_s <= at_s < back_s), 0.0)


def _break(run: Run) -> None:
    for number in (9, 148):
        run.change("transactions", lambda row, n=number: _applied(row, n), value="aborted")
    run.change("payments", lambda row: row["key"] == "a12-pay", outcome="fail")


def _applied(row: dict[str, object], number: int) -> bool:
    return (row["gid"], row["role"], row["event"]) == (f"pay-a{number}", "order", "applied")
