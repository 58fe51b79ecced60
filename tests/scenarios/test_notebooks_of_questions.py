"""Every notebook asks, answers with figures that its cells computed, and says in the end what it took for granted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SMALL: dict[str, dict[str, str]] = {
    "01-calibrate-and-validate": {"SCENARIOS": '("slow-bank",)', "DEAREST": "5"},
    "02-capacity-planning": {"RATE": '"5/s"', "FAILURES": "0", "PAYMENTS": "20", "WORKERS": "1"},
    "03-availability-under-failure": {
        "SEEDS": "range(1, 3)",
        "WORKERS": "1",
        "REPLICAS_MAX": "2",
        "SERVICES": '("gateway", "order")',
        "CATALOGUE": '("participant-crash",)',
    },
    "04-two-phase-commit-blocking": {
        "SEEDS": "range(1, 3)",
        "WORKERS": "1",
        "RATE_PER_S": "5",
        "RESTARTS_S": "(1, 8)",
        "LEASES_S": "(1,)",
        "REPLICAS": "(1, 2)",
    },
    "05-scaling-and-autoscaling": {
        "SEEDS": "range(1, 3)",
        "WORKERS": "1",
        "REPLICAS": "(1, 2, 3, 4)",
        "USERS": "1",
        "LOAD_S": "3",
        "PEAK_PER_S": "50",
        "TARGETS": "(0.5, 0.8)",
    },
    "06-what-each-choice-buys": {
        "SEEDS": "range(1, 3)",
        "WORKERS": "1",
        "RATE_PER_S": "15",
        "LOAD_S": "4",
        "HONEST_PER_S": "30",
        "GREEDY_PER_S": "100",
        "OUTAGE_PER_S": "40",
        "OUTAGE_LOAD_S": "12",
    },
}
"""What the parameters of each are here, so that all of them run in seconds."""

FIGURE = re.compile(r"\d+(\.\d+)?\s?(%|ms\b|s\b|/s\b|payments|orders|times)")
"""A figure with its unit: prose that has one drifts away from what the cells compute."""
PERCENTILES = re.compile(r"\bp\d\d\b|95 %|\bNSDI \d+")


def cells(path: Path) -> list[Any]:
    return list(jupytext.read(path)["cells"])


def source_of(name: str) -> Path:
    return NOTEBOOKS / f"{name}.py"


def tagged(notebook_cells: list[Any], tag: str) -> Any:
    (found,) = [cell for cell in notebook_cells if tag in cell["metadata"].get("tags", [])]
    return found


def texts(cell: Any, kind: str) -> list[str]:
    return [output["data"][kind] for output in cell["outputs"] if kind in output.get("data", {})]


def pictures(notebook_cells: list[Any]) -> int:
    return sum(len(texts(cell, "image/png")) for cell in notebook_cells if cell["cell_type"] == "code")


def with_small_parameters(name: str) -> Any:
    notebook: Any = jupytext.read(source_of(name))
    parameters = tagged(notebook["cells"], "parameters")
    for parameter, value in SMALL[name].items():
        assert re.search(rf"^{parameter} = ", parameters["source"], re.MULTILINE), f"{name} has no {parameter}"
        parameters["source"] += f"\n{parameter} = {value}"
    return notebook


Executed = Callable[[str], Any]


@pytest.fixture(scope="module")
def executed() -> Iterator[Executed]:
    """A notebook with small parameters, run once for all tests.

    All run in one kernel, which imports the libraries once. None finds a name that another one left there.
    """
    where = {"metadata": {"path": str(NOTEBOOKS)}}
    first = nbclient.NotebookClient(nbformat.v4.new_notebook(), timeout=240, resources=where)

    @cache
    def execute(name: str) -> Any:
        notebook = with_small_parameters(name)
        notebook["cells"].insert(0, nbformat.v4.new_code_cell("%reset -f"))
        nbclient.NotebookClient(notebook, km=first.km, timeout=240, resources=where).execute()
        del notebook["cells"][0]
        return notebook

    with first.setup_kernel():
        yield execute


def test_all_notebooks_are_here():
    assert sorted(SMALL) == sorted(path.stem for path in NOTEBOOKS.glob("0[1-9]*.py"))


@pytest.mark.parametrize("name", SMALL)
def test_it_runs_with_small_parameters_and_draws_what_the_committed_one_shows(executed: Executed, name: str):
    committed = cells(source_of(name).with_suffix(".ipynb"))
    assert pictures(executed(name)["cells"]) == pictures(committed) >= 2


@pytest.mark.parametrize("name", SMALL)
def test_it_opens_with_the_question_and_the_answer(executed: Executed, name: str):
    found = executed(name)["cells"]
    assert found[0]["cell_type"] == "markdown"
    assert re.fullmatch(r"# .*\?", found[0]["source"].splitlines()[0])
    answer = tagged(found, "answer")
    assert found.index(answer) <= 3, "the answer comes before everything that explains it"
    assert texts(answer, "text/markdown")[0].startswith("**Answer.** ")


@pytest.mark.parametrize("name", SMALL)
def test_every_figure_of_the_answer_is_computed(executed: Executed, name: str):
    """Other parameters, other figures; and no digit of the sentence stands in the source."""
    (small,) = texts(tagged(executed(name)["cells"], "answer"), "text/markdown")
    committed = cells(source_of(name).with_suffix(".ipynb"))
    (full,) = texts(tagged(committed, "answer"), "text/markdown")
    assert small != full
    sentence = "".join(re.findall(r'f?"([^"]*)"', tagged(committed, "answer")["source"].partition("Markdown(")[2]))
    literal = re.sub(r"\{[^{}]*\}|`[^`]*`", "", sentence)
    assert not re.search(r"\d", PERCENTILES.sub("", literal)), literal
    prose = "\n".join(cell["source"] for cell in committed if cell["cell_type"] == "markdown")
    assert not FIGURE.search(PERCENTILES.sub("", prose))


@pytest.mark.parametrize("name", SMALL)
def test_it_ends_with_what_was_assumed(name: str):
    last = cells(source_of(name))[-1]
    assert last["cell_type"] == "markdown"
    assert last["source"].startswith("## Assumptions")
    assert last["source"].count("\n- ") >= 3


@pytest.mark.parametrize("name", SMALL)
def test_the_committed_notebook_is_its_source_executed(name: str):
    path = source_of(name).with_suffix(".ipynb")
    of_source = [(cell["cell_type"], cell["source"]) for cell in cells(source_of(name))]
    assert [(cell["cell_type"], cell["source"]) for cell in cells(path)] == of_source
    notebook: Any = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    kinds = [output["output_type"] for cell in code for output in cell["outputs"]]
    assert "error" not in kinds
    assert "stream" not in kinds, "warnings and progress are no result"


@pytest.mark.parametrize("name", SMALL)
def test_the_committed_notebook_names_no_machine(name: str):
    text = source_of(name).with_suffix(".ipynb").read_text(encoding="utf-8")
    for path in (str(Path.home()), str(NOTEBOOKS.parent), "/home/", "/tmp/", "/usr/", "site-packages", "C:\\"):
        assert path not in text
