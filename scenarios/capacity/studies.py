"""`paylab capacity autoscale` and `paylab capacity metastability`: sweeps beside the planner, on the same demands."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from scenarios.capacity.commands import Reader, narrated, new_folder, parse_share, read_traffic
from scenarios.capacity.traffic import traffic_input
from scenarios.console import FAILED, output, say
from scenarios.report import capacity_studies as report
from scenarios.spec.problems import InvalidScenario
from scenarios.spreading import spread
from scenarios.units import parse_duration_s, parse_rate_per_s
from settlement.policies.autoscaler import Scaling
from settlement.settings import SETTINGS, problems_of
from settlement.topology import DEFAULT_TOPOLOGY
from simulator.capacity.autoscaling import PERIOD_S, REPLICAS_MAX, Profile, Scaled, best, scaled
from simulator.capacity.demands import DemandTable, measure
from simulator.capacity.metastability import BUDGET, Bottleneck, Cell, Trouble, play, stays_down_by_theory
from simulator.capacity.playing import stage_of
from simulator.capacity.question import Effort, Prices


@dataclass(frozen=True)
class AutoscaleAsked:
    """The options as they were typed."""

    rate: str
    p99: str
    profile: str
    targets: str
    stabilisation: str
    startup: str
    slow: str
    mix: str
    topology: str
    calibration: Path | None
    price_core_hour: float
    price_replica_hour: float
    seed: int
    workers: int


@dataclass(frozen=True)
class MetastabilityAsked:
    """The options as they were typed."""

    loads: str
    budgets: str
    settings: tuple[str, ...]
    outage: str
    timeout: str
    attempts: int
    replicas: int
    watched: str
    shedding: bool
    runs: int
    calibration: Path | None
    seed: int
    workers: int


def autoscale(asked: AutoscaleAsked, out: Path, as_json: bool) -> None:
    """Sweep the tunings, show and keep them; ends with the exit code. Raises InvalidScenario."""
    reader = Reader()
    rate_per_s = reader.read("--rate", _above_zero(parse_rate_per_s), asked.rate)
    p99_s = reader.read("--p99", _above_zero(parse_duration_s), asked.p99)
    read_profile = reader.read("--profile", _profile, asked.profile, None) if asked.profile else None
    profile = read_profile or Profile.wave(rate_per_s)
    targets = reader.read("--targets", partial(_list, _share_above_zero), asked.targets, [])
    windows_s = reader.read("--stabilisation", partial(_list, parse_duration_s), asked.stabilisation, [])
    startup_s = reader.read("--startup", parse_duration_s, asked.startup)
    slow_max = reader.read("--slow", parse_share, asked.slow)
    traffic = read_traffic(reader, asked.mix, (), asked.topology, asked.calibration)
    _refuse(reader)
    with narrated("autoscaling") as tell:
        table = _demands(traffic, asked.topology, asked.seed, tell)
        tell(f"{len(targets) * len(windows_s)} tunings")
        tunings = [
            Scaling(target, 1, REPLICAS_MAX, period_s=PERIOD_S, stabilisation_s=window_s)
            for target, window_s in product(targets, windows_s)
        ]
        run = partial(_scaled, profile, table, p99_s, startup_s, asked.seed)
        found = list(spread(run, tunings, asked.workers, ordered=True))
    price = Prices(asked.price_core_hour, asked.price_replica_hour).of_replica(1.0)
    chosen = best(found, slow_max)
    document = {
        "rate_per_s": rate_per_s, "p99_s": p99_s, "slow_max": slow_max, "startup_s": startup_s, "seed": asked.seed,
        "profile": [list(stage) for stage in profile.stages], "payments": profile.payments,
        "tunings": [_tuning(each, price, profile) for each in found],
        "best": _tuning(chosen, price, profile) if chosen else None,
    }  # fmt: skip
    _show(document, report.autoscale_rows(document), report.AUTOSCALE, out, as_json, "autoscale")
    if chosen is None:
        say(f"no tuning keeps the share of slow payments at or below {slow_max:.2%}")
    raise typer.Exit(0 if chosen else FAILED)


def _scaled(profile: Profile, table: DemandTable, p99_s: float, startup_s: float, seed: int, tuning: Scaling) -> Scaled:
    return scaled(profile, table, tuning, p99_s, startup_s, seed)


def _tuning(found: Scaled, price: float, profile: Profile) -> dict[str, Any]:
    cost = found.replica_hours * price
    return {
        "target": found.tuning.target, "stabilisation_s": found.tuning.stabilisation_s, "slow": found.slow,
        "replica_hours": found.replica_hours, "cost": cost, "cost_per_million": cost / profile.payments * 1e6,
        "changes": found.changes, "replicas_most": found.replicas_most, "worst_wait_s": found.worst_s,
        "replicas": list(found.replicas),
    }  # fmt: skip


def metastability(asked: MetastabilityAsked, out: Path, as_json: bool) -> None:
    """Play the map, show and keep it. Raises InvalidScenario."""
    reader = Reader()
    loads = reader.read("--loads", partial(_list, _share_above_zero), asked.loads, [])
    others = reader.read("--budgets", partial(_list, _budget), asked.budgets, [])
    trouble = Trouble(
        outage_s=reader.read("--outage", _above_zero(parse_duration_s), asked.outage),
        timeout_s=reader.read("--timeout", _above_zero(parse_duration_s), asked.timeout),
        attempts_max=asked.attempts,
        watched_s=reader.read("--watched", _above_zero(parse_duration_s), asked.watched),
        shedding=asked.shedding,
    )
    traffic = read_traffic(reader, "pay=1", asked.settings, DEFAULT_TOPOLOGY, asked.calibration)
    _refuse(reader)
    in_force = float(traffic["settings"].get(BUDGET, SETTINGS[BUDGET].default))
    budgets = sorted({*others, in_force})
    with narrated("metastability") as tell:
        table = _demands(traffic, DEFAULT_TOPOLOGY, asked.seed, tell)
        row = table.rows[0]
        bottleneck = Bottleneck(asked.replicas, row.demand_s, row.variation)
        cells = list(product(loads, budgets, range(asked.seed, asked.seed + asked.runs)))
        tell(f"{len(cells)} runs")
        found = list(spread(partial(_play, bottleneck, trouble), cells, asked.workers, ordered=True))
    grouped = [found[start : start + asked.runs] for start in range(0, len(found), asked.runs)]
    document = {
        "bottleneck": row.process, "replicas": asked.replicas, "capacity_per_s": bottleneck.capacity_per_s,
        "trouble": vars(trouble), "seed": asked.seed, "runs": asked.runs, "loads": loads, "budgets": budgets,
        "budget_in_force": in_force, "cells": [_cell(group) for group in grouped],
    }  # fmt: skip
    _show(document, report.metastability_rows(document), report.METASTABILITY, out, as_json, "metastability")


def _play(bottleneck: Bottleneck, trouble: Trouble, cell: tuple[float, float, int]) -> Cell:
    return play(bottleneck, trouble, *cell)


def _cell(runs: list[Cell]) -> dict[str, Any]:
    """One load and budget, over its seeds; the slowest recovery counts."""
    slowest_s = max(cell.recovery_s for cell in runs)
    return {
        "load": runs[0].load, "budget": runs[0].budget, "recovered": sum(cell.recovers for cell in runs),
        "recovery_s": slowest_s if isfinite(slowest_s) else None,
        "amplification": sum(cell.amplification for cell in runs) / len(runs),
        "stays_down_by_theory": stays_down_by_theory(runs[0].load, runs[0].budget),
        "goodput": list(runs[0].goodput),
    }  # fmt: skip


def _demands(traffic: Mapping[str, Any], topology: str, seed: int, tell: Callable[[str], None]) -> DemandTable:
    tell("measuring demands")
    return measure(stage_of(partial(traffic_input, traffic=traffic), topology, 1.0, Effort()), seed)


def _show(
    document: dict[str, Any], rows: list[tuple[str, ...]], study: report.Study, out: Path, as_json: bool, name: str
) -> None:
    folder = new_folder(out, f"capacity-{name}", document["seed"])
    text = json.dumps(document, indent=2, allow_nan=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.html").write_text(report.page(study, document, rows), encoding="utf-8")
    if as_json:
        typer.echo(text)
    else:
        table = Table(box=None, pad_edge=False, title=study.title, title_justify="left")
        for number, column in enumerate(study.columns(document)):
            table.add_column(column, justify="left" if number == 0 else "right")
        for row in rows:
            table.add_row(*row)
        output.print(table)
        for line in study.sentences(document):
            output.print(line, markup=False, highlight=False)
    say(f"report: {folder / 'report.html'}")


def _refuse(reader: Reader) -> None:
    if reader.problems:
        raise InvalidScenario(reader.problems)


def _list(read: Callable[[str], float], text: str) -> list[float]:
    return [read(part.strip()) for part in text.split(",")]


def _above_zero(read: Callable[[object], float]) -> Callable[[str], float]:
    def checked(text: str) -> float:
        value = read(text)
        if not value > 0:
            raise ValueError(f"{text!r} is not above 0")
        return value

    return checked


def _budget(text: str) -> float:
    """A value that the setting may have."""
    value = float(text)
    problems = problems_of(BUDGET, value)
    if problems:
        raise ValueError("; ".join(problems))
    return value


def _share_above_zero(text: str) -> float:
    value = parse_share(text)
    if not 0 < value <= 1:
        raise ValueError(f"{text!r}: expected a share above 0 and at most 1, like 0.7 or 70%")
    return value


def _profile(text: str) -> Profile:
    stages = []
    for part in text.split(","):
        rate, colon, for_ = part.partition(":")
        if not colon:
            raise ValueError(f"{part!r} is not of the form RATE:TIME, like 60:5min")
        stages.append((_above_zero(parse_rate_per_s)(rate.strip()), _above_zero(parse_duration_s)(for_.strip())))
    return Profile(tuple(stages))
