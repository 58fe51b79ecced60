"""Every kind of fault in one real run: each one has its effect, and none of them costs money.

Effects are asserted, and of times only those that the lab keeps itself: whatever shares the machine makes everything
slower, and nothing here minds.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from scenarios.checks import faults_happened
from scenarios.history import GENERATOR, History
from scenarios.worlds.processes import ProcessesWorld
from settlement.topology import DEFAULT_TOPOLOGY, SERVICES, processes

from .playing import played, running_in, verdicts

RESIDENT_BUDGET_BYTES = 2**30

# What clients feel for a while comes first: a busy machine takes seconds to start a service that died, and while they
# wait for it no client begins anything that a latency could be seen in.
ALL_FAULTS = """
name: all-faults
question: Does every fault do what it says, and does the money survive all of them?
platform:
  settings: {payment.channel_timeout_ms: 400}
load:
  {kind: open, mix: {pay: 90, browse: 10}, methods: {wallet: 60, card: 30, balance: 10}, pool: 40, timeout: 1500ms,
   stages: [{rate: 12, for: 19s}]}
phases: {warmup: 500ms, recovery: 5s}
faults:
  - {at: 1s, for: 2s, kind: latency, from: payment, to: channel, delay: 200ms, jitter: 100ms}
  - {at: 1s, for: 2s, kind: latency, service: order, route: "GET /goods/{goods_id}", delay: 200ms}
  - {at: 3500ms, kind: kill, service: order, restart_after: 500ms}
  - {at: 6500ms, for: 1s, kind: pause, service: cart}
  - {at: 8s, kind: crash_at, service: payment, point: participant.prepared.persist.after, nth: 3,
     restart_after: 500ms}
  - {at: 13s, for: 2s, kind: error, service: gateway, route: POST /payments, status: 503, share: 0.3}
  - {at: 13s, for: 2s, kind: drop_reply, from: payment, to: channel, path: /wallet}
  - {at: 15500ms, for: 1s, kind: drop_reply, service: gateway, route: POST /payments}
  - {at: 17s, kind: crash_at, service: gateway, point: coordinator.decided.persist.after, restart_after: 1s}
expect: [atomic, money_conserved, client_truth]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def history(folder: Path) -> History:
    scenario = folder / "scenario.yaml"
    scenario.write_text(ALL_FAULTS, encoding="utf-8")
    return played(folder, scenario)


def fault(history: History, kind: str, target: str) -> pd.Series:
    """The one fault of this kind on this target."""
    faults = history["faults"]
    ((_, row),) = faults[(faults.kind == kind) & (faults.target == target)].iterrows()
    return row


def requests_during(history: History, row: pd.Series, step: str) -> pd.DataFrame:
    """The HTTP attempts that were begun while the fault was on."""
    requests = history["requests"]
    begun = requests[(requests.step == step) & requests.started_s.between(row.started_s, row.ended_s)]
    return begun.assign(took_s=begun.ended_s - begun.started_s)


def events_of(history: History, replica: str) -> list[str]:
    services = history["services"]
    return services[services.replica == replica].event.tolist()


def test_the_money_survives_and_nothing_stays_open(history: History) -> None:
    assert set(verdicts(history).values()) == {"pass"}, verdicts(history)
    assert history.meta["unresolved"] == {}
    settled = history["payments"].query("outcome == 'ok'")
    assert len(settled) > 50


def test_nothing_is_left_running(history: History, folder: Path) -> None:
    assert set(history["services"].query("event == 'stopped'").service) == set(SERVICES)
    assert running_in(folder) == []


def test_the_platform_is_small_within_its_budget(history: History) -> None:
    resources = history["resources"]
    services = resources[~resources.process.isin(["lab", GENERATOR])]
    assert services.process.nunique() == len(processes(DEFAULT_TOPOLOGY))
    assert services.groupby("process").rss_bytes.max().sum() <= RESIDENT_BUDGET_BYTES


def test_faults_come_and_go_when_they_were_planned(history: History) -> None:
    killed, paused, crash = (
        fault(history, *which) for which in (("kill", "order-0"), ("pause", "cart-0"), ("crash_at", "gateway-0"))
    )
    assert killed.ended_s == pytest.approx(4.0, abs=0.3)
    assert paused.ended_s == pytest.approx(7.5, abs=0.3)
    assert crash.started_s >= 17.0
    assert crash.ended_s - crash.started_s == pytest.approx(1.0, abs=0.3)


def test_every_kind_of_fault_was_made_and_hit(history: History) -> None:
    faults = history["faults"]
    assert set(faults.kind) == ProcessesWorld().fault_kinds
    assert (faults.hits > 0).all()
    assert faults.ended_s.notna().all()
    assert str(faults_happened.judge(history).verdict) == "pass"


def test_kill_takes_the_replica_away_and_brings_it_back(history: History) -> None:
    assert events_of(history, "order-0") == ["started", "ready", "died", "restarted", "ready", "stopped"]
    requests, restart_s = history["requests"], fault(history, "kill", "order-0").ended_s
    assert "refused" in set(requests.error)
    assert ((requests.replica == "order-0") & (requests.started_s > restart_s) & (requests.outcome == "ok")).any()


def test_crash_at_kills_at_the_point_and_the_replica_comes_back(history: History) -> None:
    assert events_of(history, "payment-0") == ["started", "ready", "died", "restarted", "ready", "stopped"]
    crash = fault(history, "crash_at", "payment-0")
    assert crash.hits == 1
    assert "participant.prepared.persist.after" in crash.detail
    # It had said yes to its own disk and to nobody else; the outcome reached it in its next life.
    payment = history["transactions"].query("role == 'payment'")
    voted = payment[(payment.event == "vote") & (payment.value == "yes") & (payment.at_s < crash.started_s + 0.05)]
    applied = payment[(payment.event == "applied") & payment.gid.isin(voted.gid)]
    assert (applied.at_s > crash.ended_s).any()


def test_a_crashed_coordinator_is_noticed_restarted_and_recovers(history: History) -> None:
    assert events_of(history, "gateway-0") == ["started", "ready", "died", "restarted", "ready", "stopped"]
    crash = fault(history, "crash_at", "gateway-0")
    assert crash.hits == 1
    # Its decision was durable and nobody had been told; all of them were, by its next life.
    decided = history["transactions"].query("role == 'coordinator' and event == 'decided'")
    died_s = decided.at_s[decided.at_s <= crash.started_s + 0.05].max()  # the lab may notice it late
    untold = decided[decided.at_s.between(died_s - 0.5, died_s)]
    applied = history["transactions"].query("event == 'applied'")
    assert (applied[applied.gid.isin(untold.gid)].at_s > crash.ended_s).any()


def test_pause_holds_answers_back_without_a_death(history: History) -> None:
    pause = fault(history, "pause", "cart-0")
    assert requests_during(history, pause, "cart_put").took_s.max() >= 0.5 * (pause.ended_s - pause.started_s)
    assert events_of(history, "cart-0") == ["started", "ready", "stopped"]


def test_latency_on_a_link_is_seen_by_who_pays_through_it(history: History) -> None:
    slow = fault(history, "latency", "payment -> channel")
    payments = history["payments"]
    paid = payments[(payments.method != "balance") & payments.started_s.between(slow.started_s, slow.ended_s)]
    assert (paid.ended_s - paid.started_s).quantile(0.75) >= 0.15


def test_latency_on_a_route_is_seen_by_its_clients(history: History) -> None:
    slow = fault(history, "latency", "order GET /goods/{goods_id}")
    assert requests_during(history, slow, "goods").took_s.quantile(0.75) >= 0.2


def test_error_on_a_route_strikes_its_share_and_clients_get_through_in_the_end(history: History) -> None:
    error = fault(history, "error", "gateway POST /payments")
    requests = history["requests"]
    struck = requests[(requests.step == "pay") & (requests.error == "fault_injected")]
    assert set(struck.status) == {503}
    assert set(struck.outcome) == {"unknown"}
    # An answer that the client did not wait for is a hit that nobody saw.
    assert 0 < len(struck) <= error.hits
    assert len(struck) < len(requests_during(history, error, "pay"))
    assert outcomes(history, struck) <= {"ok", "fail"}


def test_drop_reply_on_a_link_charges_wallets_for_nothing_and_gives_the_money_back(history: History) -> None:
    lost, charges = fault(history, "drop_reply", "payment -> channel /wallet"), history["charges"]
    aborted = history["transactions"].query("event == 'decided' and value == 'abort'")
    charged = charges[(charges.channel == "wallet") & (charges.captured_minor > 0)]
    for_nothing = charged[charged.out_trade_no.isin(aborted.gid)]  # the number a payment has at the channel is its gid
    assert (for_nothing.updated_s > lost.started_s).any()
    assert (for_nothing.refunded_minor == for_nothing.captured_minor).all()


def test_drop_reply_on_a_route_leaves_clients_in_doubt_until_they_ask_again(history: History) -> None:
    lost = fault(history, "drop_reply", "gateway POST /payments")
    silent = requests_during(history, lost, "pay").query("status == 0 and outcome == 'unknown'")
    assert len(silent) > 0
    assert outcomes(history, silent) <= {"ok", "fail"}


def outcomes(history: History, attempts: pd.DataFrame) -> set[str]:
    """How the operations ended that these attempts belong to."""
    payments = history["payments"]
    ended = payments[payments.operation.isin(attempts.operation)]
    assert len(ended) > 0
    return set(ended.outcome)
