"""`paylab capacity` as it is typed: bad input, refusals, and an answer on screen, page and disk."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scenarios.capacity import commands
from scenarios.capacity.commands import Asked, parse_share, question_of
from scenarios.capacity.confirm import cores_needed, real_scenario
from scenarios.capacity.traffic import paying_share, scenario
from scenarios.cli import app
from scenarios.spec import InvalidScenario
from simulator import calibration
from simulator.capacity import Effort

ASKED = ["capacity", "--rate", "20", "--p99", "300ms", "--availability", "99%"]
QUICK = ["--payments", "50", "--workers", "1"]


def little_effort(payments: int) -> Effort:
    return Effort(
        payments=payments, warm_up_s=0.5, replications_min=2, replications_max=2, precision=10.0, pilot_payments=200,
        customers=4_000, headroom_steps=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "Effort", little_effort)
        result = CliRunner().invoke(app, [*ASKED, *QUICK, "--failures", "0", "--out", str(out)])
    assert result.exit_code == 0, result.output
    (folder,) = out.iterdir()
    return folder, result.stdout


def document_of(answered: tuple[Path, str]) -> dict:
    return json.loads((answered[0] / "answer.json").read_text())


def test_the_terminal_says_what_it_takes_and_why(answered: tuple[Path, str]):
    text = " ".join(answered[1].split())
    for expected in ("1 gateway", "a million payments", "binding:", "headroom:", "runner-up:", "bottleneck order",
                     "knee N*", "Taken for granted", "Why not one fewer?"):  # fmt: skip
        assert expected in text


def test_the_page_has_every_plot_and_stands_alone(answered: tuple[Path, str]):
    page = (answered[0] / "report.html").read_text()
    for plot in ("demands", "saturation", "bounds", "landscape", "states", "sensitivity"):
        assert f'<figure id="{plot}">' in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "#0000" not in page  # every stand-in for a colour was replaced


def test_the_document_is_the_whole_answer(answered: tuple[Path, str]):
    document = document_of(answered)
    assert document["answer"]["replicas"]["gateway"] == 1
    assert document["binding_constraint"] == "rate"
    assert document["p_slo_met"]["share"] == 1
    assert document["confirmation"] is None
    assert len(document["sensitivity"]) == 2 * len(document["demand_table"])


def test_the_notebook_shows_it(answered: tuple[Path, str], tmp_path: Path):
    from scenarios.capacity.notebook import write

    notebook = json.loads(write(answered[0] / "answer.json", tmp_path / "out.ipynb").read_text())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert any("1 gateway" in "".join(output.get("text", "")) for output in outputs)


def test_a_real_run_of_the_answer(answered: tuple[Path, str]):
    document = document_of(answered)
    document["answer"]["replicas"]["gateway"] = 3
    traffic = {"mix": {"pay": 1.0}, "methods": {"card": 1}, "topology": "compact", "settings": {}}
    asked = real_scenario(document, scenario(20, 25, traffic))
    assert asked.platform.replicas == {"gateway": 3}
    assert asked.load.stages[0].rate_per_s == 20
    assert "latency.pay.p99 <= 300ms" in [str(each) for each in asked.model_dump()["expect"]]
    assert 0.3 < cores_needed(document, calibration.load()) < 1.5


def test_bad_input_names_every_problem():
    result = CliRunner().invoke(app, ["capacity", "--rate", "many", "--p99", "300", "--mix", "pay", "--set", "x.y=1"])
    assert result.exit_code == 2
    for option in ("--rate: ", "--p99: ", "--availability: ", "--mix: ", "--set: "):
        assert option in result.stderr


def test_what_cannot_be_met_is_refused_with_what_could_be_had(tmp_path: Path):
    options = [*ASKED[:4], "5ms", *ASKED[5:], *QUICK, "--rate", "900", "--replicas-max", "3", "--json"]
    result = CliRunner().invoke(app, [*options, "--out", str(tmp_path)])
    assert result.exit_code == 1
    found = {refusal["requirement"]: refusal["nearest"] for refusal in json.loads(result.stdout)["infeasible"]}
    assert set(found) == {"rate", "p99"}
    assert "without any load it is" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_share():
    assert parse_share("99.9%") == pytest.approx(0.999)
    assert parse_share("0.999") == pytest.approx(0.999)
    with pytest.raises(ValueError, match="unknown unit"):
        parse_share("99ms")


def test_nobody_pays():
    with pytest.raises(InvalidScenario, match="nobody pays"):
        question_of(Asked("10", "1s", "99%", "compact", mix="browse=1"))


def test_only_some_journeys_pay():
    mix = {"pay": 60.0, "browse": 30.0, "refund": 10.0}
    assert paying_share(mix) == pytest.approx(0.7)
    traffic = {"mix": mix, "methods": {"card": 1}, "topology": "compact", "settings": {}}
    assert scenario(70, 10, traffic).load.stages[0].rate_per_s == pytest.approx(100)
