"""The notebook runs from top to bottom on a fresh run, and what is committed is what its source says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOURCE, COMMITTED = NOTEBOOKS / "00-read-a-run.py", NOTEBOOKS / "00-read-a-run.ipynb"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh run of the simulated world."""
    runs = tmp_path_factory.mktemp("runs")
    command = ["run", "coordinator-crash", "--world", "simulated", "--seed", "3", "--out", str(runs)]
    finished = subprocess.run([Path(sys.executable).with_name("paylab"), *command], check=False, capture_output=True)
    folders = [path.parent for path in runs.glob("*/verdict.json")]
    assert len(folders) == 1, finished.stderr.decode()
    return folders[0]


def cells(path: Path) -> list[tuple[str, str]]:
    return [(cell["cell_type"], cell["source"]) for cell in jupytext.read(path)["cells"]]


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook["cells"] if cell["cell_type"] == "code" for output in cell["outputs"]]


def test_it_runs_on_a_fresh_run(run_folder: Path):
    notebook = jupytext.read(SOURCE)
    (parameters,) = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    parameters["source"] = f"RUN = {str(run_folder)!r}"
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(run_folder)}}).execute()
    texts = [output["text"] for output in outputs(notebook) if output["output_type"] == "stream"]
    assert any("coordinator-crash in simulated, seed 3: PASS" in text for text in texts)
    pictures = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert len(pictures) == 2


def test_the_committed_notebook_is_its_source_executed():
    assert cells(COMMITTED) == cells(SOURCE)
    notebook = nbformat.read(COMMITTED, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) == 2
    assert not [output for output in outputs(notebook) if output["output_type"] == "error"]


def test_the_committed_notebook_names_no_machine():
    text = COMMITTED.read_text(encoding="utf-8")
    for path in ("/home/", "/tmp/", "/usr/", "site-packages", "/private/", "C:\\"):
        assert path not in text
