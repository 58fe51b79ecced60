"""Small platforms to simulate, and what must be true of every one of them when it has come to rest."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from settlement.topology import DEFAULT_TOPOLOGY
from simulator.calling import ServiceCaller
from simulator.inputs import Arrival, Fault, Load, SimulationInput
from tests.costs import PLAIN

Tables = dict[str, pd.DataFrame]
METHODS = ("card", "wallet", "balance")


def _arrivals(rate_per_s: float, load_s: float, journeys: tuple[str, ...], seed: int) -> tuple[Arrival, ...]:
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(1 / rate_per_s, int(2 * rate_per_s * load_s)))
    return tuple(
        Arrival(n, float(at_s), journeys[n % len(journeys)], METHODS[n % 3], n % 50 + 1, n % 3 + 1, f"k{n}")
        for n, at_s in enumerate(times[times < load_s])
    )


@pytest.fixture
def platform() -> Callable[..., SimulationInput]:
    def make(
        *faults: Fault,
        rate_per_s: float = 12,
        load_s: float = 8,
        rest_s: float = 20,
        journeys: tuple[str, ...] = ("pay", "pay", "refund", "browse"),
        replicas: dict[str, int] | None = None,
        seed: int = 7,
        topology: str = DEFAULT_TOPOLOGY,
        load: Load | None = None,
        **settings: Any,
    ) -> SimulationInput:
        return SimulationInput(
            seed=seed,
            duration_s=load_s + rest_s,
            load_s=load_s,
            arrivals=_arrivals(rate_per_s, load_s, journeys, seed),
            calibration=PLAIN,
            faults=faults,
            load=load or Load(),
            topology=topology,
            replicas=replicas or {},
            settings={name.replace("__", "."): value for name, value in settings.items()},
        )

    return make


@pytest.fixture
def fault() -> Callable[..., Fault]:
    def make(kind: str, at_s: float, until_s: float, **parameters: Any) -> Fault:
        named = {name.rstrip("_"): value for name, value in parameters.items()}
        return Fault(f"{kind}-{at_s:g}", kind, at_s, until_s, named)

    return make


@pytest.fixture
def assert_at_rest() -> Callable[[Tables], None]:
    def check(tables: Tables) -> None:
        decisions = _assert_agreement(tables)
        _assert_nothing_held(tables)
        _assert_channel_agrees(tables, decisions)
        _assert_clients_were_told_the_truth(tables, decisions)

    return check


def _assert_agreement(tables: Tables) -> "pd.Series[Any]":
    rows = tables["transactions"]
    coordinator = rows[rows.role == "coordinator"]
    decisions = coordinator[coordinator.event == "decided"].set_index("gid")["value"]
    assert set(coordinator[coordinator.event == "closed"].gid) == set(coordinator.gid), "a transaction was not closed"
    participants = rows[rows.role != "coordinator"]
    applied = participants[participants.event == "applied"]
    expected = decisions.reindex(applied.gid).map({"commit": "committed", "abort": "aborted"}).to_numpy()
    assert (applied["value"].to_numpy() == expected).all(), "a participant did something else than was decided"
    promised = participants[participants.value == "yes"]
    assert set(zip(promised.gid, promised.role, strict=True)) <= set(zip(applied.gid, applied.role, strict=True))
    assert (applied.gid.value_counts() == 2).all()
    return decisions


def _assert_nothing_held(tables: Tables) -> None:
    postings, stock = tables["postings"], tables["stock"]
    assert (postings.groupby(["gid", "layer"]).amount_minor.sum() == 0).all()
    assert (postings[postings.layer == "pending"].groupby(["gid", "account"]).amount_minor.sum() == 0).all()
    assert (stock.reserved_units == 0).all()
    assert (stock.available_units + stock.sold_units == stock.initial_units).all()
    assert not tables["orders"].status.isin(["paying", "refunding"]).any()
    assert not (tables["charges"].state == "authorized").any()


def _assert_channel_agrees(tables: Tables, decisions: "pd.Series[Any]") -> None:
    holds = tables["holds"]
    booked = holds[(holds.channel != "") & (decisions.reindex(holds.gid) == "commit").to_numpy()]
    signed = booked.amount_minor.where(booked.kind == "payment", -booked.amount_minor)
    ours = signed.groupby(booked.out_trade_no).sum()
    charges = tables["charges"].set_index("out_trade_no")
    theirs = charges.captured_minor - charges.refunded_minor
    assert ours.reindex(theirs.index, fill_value=0).eq(theirs).all(), "the channel took other money than we booked"
    assert set(ours.index) <= set(theirs.index)


def _assert_clients_were_told_the_truth(tables: Tables, decisions: "pd.Series[Any]") -> None:
    rows = tables["transactions"]
    began = rows[rows.event == "begun"]
    assert began.key.is_unique, "one key, two transactions"
    committed = set(began.key[(decisions.reindex(began.gid) == "commit").to_numpy()])
    told = tables["payments"]
    assert set(told.key[told.outcome == "ok"]) <= committed
    assert not set(told.key[told.outcome == "fail"]) & committed


@pytest.fixture
def attempts(monkeypatch):
    """What service callers sent: (when, from, to, attempt)."""
    sent = []
    send = ServiceCaller.send

    def noting(self, call):
        target = send(self, call)
        sent.append((call.network._kernel.now, call.source.name, target and target.name, call.attempt))
        return target

    monkeypatch.setattr(ServiceCaller, "send", noting)
    return sent
