"""The commands as a user types them: a model compared with itself makes no error."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scenarios.cli import app
from simulator import calibration

SHORT = ("--scenario", "channel-dominates", "--set", "load.stages=[{rate: 5, for: 4s}]")
HOME = ("--world", "simulated", *SHORT)


@pytest.fixture(autouse=True)
def uncalibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calibrated this machine left a file that would be taken."""
    monkeypatch.setattr("scenarios.calibration_file.FOLDER", tmp_path / "nothing")


def slower(folder: Path) -> Path:
    """The shipped calibration with a channel that takes long to answer."""
    path = Path(calibration.__file__).parent / "calibration" / "default.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["endpoints"]["channel"] = {"default": {"cpu_ms": 1.1, "variation": 0.3, "wait_ms": 300}}
    changed = folder / "slower.json"
    changed.write_text(json.dumps(document), encoding="utf-8")
    return changed


def test_a_world_predicts_itself(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["twin", *HOME, "--seeds", "2", "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["verdict"] == "pass"
    assert {row["error"]["value"] for row in found["rows"]} == {0.0}
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "twin.json").read_text()) == found
    assert "<svg" in (folder / "report.html").read_text()


def test_a_wrong_calibration_misses_and_says_by_how_much(tmp_path: Path) -> None:
    wrong = ["--calibration", str(slower(tmp_path)), "--seeds", "1", "--out", str(tmp_path / "runs")]
    result = CliRunner().invoke(app, ["twin", *HOME, *wrong])
    assert result.exit_code == 1
    assert "missed" in result.stdout
    assert "latency.pay.mean" in result.stdout


def test_runs_of_an_earlier_twin_are_predicted_again_without_being_played(tmp_path: Path) -> None:
    first = tmp_path / "first"
    assert CliRunner().invoke(app, ["twin", *HOME, "--seeds", "1", "--out", str(first)]).exit_code == 0
    (folder,) = first.iterdir()
    arguments = ["twin", *HOME, "--seeds", "1", "--again", str(folder), "--out", str(tmp_path / "second")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    wrong = CliRunner().invoke(app, [*arguments, "--calibration", str(slower(tmp_path))])
    assert wrong.exit_code == 1
    other = CliRunner().invoke(app, [*arguments, "--set", "load.timeout=3s"])
    assert other.exit_code == 2
    assert "played another plan" in other.stderr.replace("\n", " ")
    missing = CliRunner().invoke(app, [*arguments, "--seed", "9"])
    assert missing.exit_code == 2
    assert "no run channel-dominates-9" in missing.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["twin", "--scenario", "nothing"], "no held-out scenario nothing; there are channel-dominates"),
        (["twin", "--world", "mars"], "unknown world 'mars'"),
        (["calibrate", "--world", "mars"], "unknown world 'mars'"),
        (["twin", "--calibration", "nowhere.json"], "nowhere.json: No such file"),
        (["run", "baseline", "--world", "simulated", "--calibration", "pyproject.toml"], "is no calibration"),
        (["run", "baseline", "--calibration", "mine.json"], "--calibration is for the world simulated"),
    ],
)
def test_bad_input_is_refused_with_the_reason(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")


def test_a_run_uses_the_calibration_that_it_is_given(tmp_path: Path) -> None:
    scenario = Path("scenarios/twin/held_out/channel-dominates.yaml")
    base = ["run", str(scenario), "--world", "simulated", "--json", "--out", str(tmp_path), *SHORT[2:]]
    shipped = json.loads(CliRunner().invoke(app, base).stdout)
    slow = json.loads(CliRunner().invoke(app, [*base, "--calibration", str(slower(tmp_path))]).stdout)
    assert slow["metrics"]["latency.pay.p50"] > shipped["metrics"]["latency.pay.p50"] + 0.2


def test_a_slow_minute_meets_one_run_of_each_scenario(tmp_path: Path) -> None:
    """All scenarios with a seed, then all with the next; each is told when its last run is over."""
    short = ["--scenario", "slow-bank"]
    result = CliRunner().invoke(app, ["twin", *HOME, *short, "--seeds", "2", "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    (folder,) = tmp_path.iterdir()
    states = sorted(folder.glob("*/status.json"), key=lambda path: path.stat().st_mtime_ns)
    assert [path.parent.name for path in states] == [
        "channel-dominates-1", "slow-bank-1", "channel-dominates-2", "slow-bank-2",
    ]  # fmt: skip
    told = [line for line in result.stderr.splitlines() if "every target met" in line]
    assert [line.split(":")[0].split()[-1] for line in told] == ["channel-dominates", "slow-bank"]


def test_what_another_probe_recorded_is_no_record(tmp_path: Path) -> None:
    first = tmp_path / "first"
    assert CliRunner().invoke(app, ["twin", *HOME, "--seeds", "1", "--out", str(first)]).exit_code == 0
    (folder,) = first.iterdir()
    (folder / "channel-dominates-1" / "speed.json").write_text('{"per_s": 20.0, "work_us": ["250", "260"]}')
    arguments = ["twin", *HOME, "--seeds", "1", "--again", str(folder), "--out", str(tmp_path / "second")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert "the speed was recorded by another probe than this version's; calibrate, or play, again" in said


def test_an_old_calibration_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = Path(calibration.__file__).parent / "calibration" / "default.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["speed"] = {"per_s": 20.0, "work_us": ["250", "260"]}
    old = tmp_path / "old.json"
    old.write_text(json.dumps(document), encoding="utf-8")
    for command in (["twin", *HOME], ["run", "baseline", "--world", "simulated"], ["capacity", "--rate", "20"]):
        result = CliRunner().invoke(app, [*command, "--calibration", str(old)])
        assert result.exit_code == 2, command
        assert "calibrate, or play, again" in " ".join(result.stderr.split()), command


def test_a_scenario_named_twice_is_played_once(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["twin", *HOME, *SHORT[:2], "--seeds", "2", "--out", str(tmp_path), "--json"])
    assert {row["scenario"] for row in json.loads(result.stdout)["rows"]} == {"channel-dominates"}
    (folder,) = tmp_path.iterdir()
    assert len(list(folder.glob("*/history.json"))) == 2
