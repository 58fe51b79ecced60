"""`paylab sweep` as a user meets it: table, plot, files, problems, exit codes."""

import json
import re
from pathlib import Path

import pandas
import pytest

from scenarios.sweep import running

DOCUMENT = Path(__file__).parents[3] / "docs" / "sweeps.md"
FAKED = {"throughput.settled": 1.0, "latency.pay.p99": 0.02, "availability.success": 1.0}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Playing is tested elsewhere; here every run settles as many payments a second as its stage has arrivals."""

    def play(variant):
        rate = variant.scenario.load.stages[0].rate_per_s
        about = {"variant": variant.number, "seed": variant.seed, "failed": "", "history_sha256": "0"}
        verdict = "fail" if variant.seed == 3 else "pass"
        return {**about, "verdict": verdict, **FAKED, "throughput.settled": rate + variant.seed / 10}

    monkeypatch.setattr(running, "play", play)


def _folder(tmp_path):
    return next((tmp_path / "runs").glob("sweep-*-small"))


def test_a_sweep_ends_with_a_table_a_digest_and_a_file(paylab, small, tmp_path):
    done = paylab(small, "--vary", "load.stages.0.rate=3,6", "--seeds", "1:3", "--workers", 1)
    assert done.exit_code == 0, done.stderr
    assert "6 variants: 2 combinations, 3 seeds" in done.stderr
    assert "3.2/s ± 0.25/s" in done.stdout
    assert "2/3" in done.stdout
    assert "6: 2 fail, 4 pass" in done.stdout
    table = pandas.read_parquet(_folder(tmp_path) / "results.parquet")
    assert list(table["throughput.settled"]) == [3.1, 3.2, 3.3, 6.1, 6.2, 6.3]
    again = paylab("--resume", _folder(tmp_path), "--metric", "latency.pay.p99")
    assert again.exit_code == 0
    assert "20ms" in again.stdout
    digest = done.stdout.split("digest")[1].strip()
    assert digest in again.stdout


def test_json_is_alone_on_stdout(paylab, small):
    summary = json.loads(paylab(small, "--seeds", "1:3", "--workers", 1, "--json").stdout)
    assert summary["verdicts"] == {"pass": 2, "fail": 1}
    assert summary["variants"] == 3
    assert len(summary["digest"]) == 64


def test_a_plot_is_drawn_of_a_grid_and_of_samples(paylab, small, tmp_path):
    axes = ("--vary", "load.stages.0.rate=3:5:1", "--vary", "platform.replicas.gateway=1,2")
    wanted = ("--plot", "load.stages.0.rate,throughput.settled")
    assert paylab(small, *axes, *wanted, "--seeds", "1:2", "--workers", 1).exit_code == 0
    plot = _folder(tmp_path) / "plot-load.stages.0.rate-throughput.settled.png"
    assert plot.read_bytes()[:4] == b"\x89PNG"
    plot.unlink()
    sampled = paylab(small, "--vary", "load.stages.0.rate=3.0..9.0", *wanted, "--samples", 20, "--workers", 1)
    assert sampled.exit_code == 0, sampled.stderr
    assert "plot: " in sampled.stderr


def test_a_sweep_file_says_the_same_as_options(paylab, small, tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "scenario: small.yaml\nset: {load.timeout: 4s}\nseeds: [1, 2]\nvary: {load.stages.0.rate: '3:6:3'}\n"
        "variants:\n  - {platform.topology: split}\n  - {platform.topology: compact}\n"
    )
    summary = json.loads(paylab("--file", file, "--workers", 1, "--json").stdout)
    assert (summary["variants"], summary["combinations"], summary["seeds"]) == (8, 4, [1, 2])
    table = pandas.read_parquet(summary["results"])
    assert list(table["platform.topology"]) == ["split"] * 4 + ["compact"] * 4


def test_the_documented_sweep_file_is_one(paylab, tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    file = tmp_path / "my-sweep.yaml"
    file.write_text(example)
    summary = json.loads(paylab("--file", file, "--workers", 1, "--json").stdout)
    assert (summary["variants"], summary["combinations"]) == (30, 6)


def test_every_problem_of_a_sweep_file_has_its_line(paylab, small, tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "scenario: nowhere\nseeds: 9:1\nvary:\n  load.stages.0.rate: 9:1:1\n  load.timeout: []\nvry: 1\nsamples: -1\n"
        "variants: [{a: 1}, {b: 1}]\nset: 5\n"
    )
    done = paylab("--file", file)
    assert done.exit_code == 2
    for line, problem in ((2, "seeds"), (4, "is empty"), (5, "has no values"), (6, "did you mean vary"), (7, "samples"),
                          (8, "keys of the first"), (9, "expected keys as in --set")):  # fmt: skip
        assert any(f"sweep.yaml:{line}: " in said and problem in said for said in done.stderr.splitlines()), problem
    assert "'nowhere': no such scenario" in done.stderr
    file.write_text("scenario: small.yaml\nvary:\n  load.stages.0.rate: [5, fast]\n")
    bad = paylab("--file", file)
    assert bad.exit_code == 2
    assert "sweep.yaml:3: load.stages.0.rate: 'fast' is not a rate" in bad.stderr


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        ((), ["nothing given; expected SCENARIO, --file or --resume"]),
        (("baseline", "--resume", "x"), ["SCENARIO and --resume given"]),
        (("--resume", "x", "--vary", "a=1"), ["--vary with --resume"]),
        (("baseline", "--vary", "x", "--set", "y", "--seeds", "z"), ["--vary: 'x'", "--set: 'y'", "--seeds: 'z'"]),
        (("baseline", "--vary", "load.stages.0.rate=1..2"), ["samples to be asked for"]),
        (("baseline", "--backend", "spark"), ["unknown backend 'spark'; expected one of loky, dask"]),
        (("baseline", "--metric", "latncy", "--plot", "a,b", "--plot", "c"),
         ["--metric: unknown metric 'latncy'", "--plot: a is not varied", "--plot: 'c' is no pair"]),
        (("no-such-thing",), ["no such scenario"]),
    ],
)  # fmt: skip
def test_bad_input_is_listed_whole_and_nothing_is_made(paylab, tmp_path, arguments, problems):
    done = paylab(*arguments)
    assert done.exit_code == 2
    for problem in problems:
        assert problem in done.stderr
    assert not list(tmp_path.glob("runs/*"))
