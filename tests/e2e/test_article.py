"""The article's protocol in real services loses real money, and the lab says whose. A short version of the scenario."""

from pathlib import Path

from scenarios.checks import check
from scenarios.spec import load_scenario

from .playing import played

SHORT = (
    "load.stages=[{rate: 5, for: 5s}]",
    "phases.warmup=0s",
    "phases.recovery=4s",
    "faults.0.at=1s",
    "faults.0.for=3s",
    "faults.0.share=0.5",
    "platform.settings.gateway.prepare_timeout_ms=1500",
)


def test_a_lost_confirmation_costs_customers_money(tmp_path: Path) -> None:
    history = played(tmp_path, "article-lost-confirm", SHORT)
    verdict = check(history, load_scenario("article-lost-confirm", SHORT).expect)
    told = {result.name: (str(result.verdict), result.explanation) for result in verdict.checks}
    assert told["not atomic"][0] == told["not money_conserved"][0] == "pass", told
    assert "customer" in {row["who"] for row in verdict.losses["lost"]}
    worst = verdict.losses["evidence"][0]
    assert worst["taken_minor"] == worst["total_minor"] > 0
    assert (worst["order"], worst["told"]) == ("pending", "payment failed")
    assert history.meta["unresolved"] == {}
