"""`paylab fuzz` as a user meets it: summary, story, files, exit codes."""

import json
import sys

import pytest
from typer.testing import CliRunner

from scenarios import cli
from scenarios.fuzz.draw import draw


@pytest.fixture
def fuzz(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli.app, ["fuzz", *arguments])


def test_a_campaign_ends_with_a_summary(fuzz, tmp_path):
    done = fuzz("--runs", "3", "--seed", "5", "--out", "kept", "--json")
    assert done.exit_code == 0
    summary = json.loads(done.stdout)
    assert summary["verdict"] == "pass"
    assert summary["runs"] == summary["distinct_digests"] == 3
    assert summary["counts"]["commits"] > 0
    assert json.loads((tmp_path / "kept" / "summary.json").read_text())["digest"] == summary["digest"]
    assert "never seen in these 3 runs" in done.stderr


def test_the_table_is_for_people(fuzz):
    done = fuzz("--runs", "2")
    assert done.exit_code == 0
    for word in ("pass: 0 of 2 runs", "a second", "take-overs", "crash points passed"):
        assert word in done.stdout


def test_a_seed_is_replayed_as_a_story(fuzz):
    first, second = fuzz("--replay", "54"), fuzz("--replay", "54")
    assert first.exit_code == 0
    assert first.stdout == second.stdout
    for word in ("customers", "p1-a", "asks to pay", "decided commit", "verdict: pass", "digest"):
        assert word in first.stdout


def test_a_failing_seed_is_shrunk_told_and_kept_and_its_plan_fails_again(fuzz, tmp_path, monkeypatch):
    def forgetful(self, kind, order):
        order.holder_gid, order.status = "", "pending"

    monkeypatch.setattr("simulator.orders.OrderBusiness._release", forgetful)
    monkeypatch.setattr("scenarios.fuzz.campaign.BATCH", 3)
    done = fuzz("--runs", "30", "--stop-after-failures", "1", "--out", "kept")
    assert done.exit_code == 1
    assert "money_conserved" in done.stderr
    assert "shrunk from" in done.stderr
    (plan,) = (path for path in (tmp_path / "kept").glob("*.json") if path.name != "summary.json")
    assert plan.with_suffix(".txt").exists()
    again = fuzz("--plan", str(plan))
    assert again.exit_code == 1
    assert again.stdout in plan.with_suffix(".txt").read_text()
    monkeypatch.undo()
    assert CliRunner().invoke(cli.app, ["fuzz", "--plan", str(plan)]).exit_code == 0


def test_bad_input_is_listed(fuzz, tmp_path):
    plan = json.loads(draw(1).to_json())
    plan["replicas"]["bank"], plan["settings"]["no.such"] = 3, 1
    (tmp_path / "bad.json").write_text(json.dumps(plan))
    done = fuzz("--plan", "bad.json")
    assert done.exit_code == 2
    assert "replicas.bank" in done.stderr
    assert "no.such" in done.stderr
    assert fuzz("--runs", "0").exit_code == 2
    assert fuzz("--replay", "1", "--plan", "bad.json").exit_code == 2


def test_a_plan_that_is_not_there_is_named(fuzz):
    done = fuzz("--plan", "nowhere.json")
    assert done.exit_code == 2
    assert "nowhere.json" in done.stderr


def test_ctrl_c_ends_with_what_was_played(fuzz, monkeypatch):
    def played(seeds):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["scenarios.fuzz.campaign"], "play_seeds", played)
    done = fuzz("--runs", "100", "--workers", "1")
    assert done.exit_code == 130
    assert "interrupted after 0 of 100 runs" in done.stderr
