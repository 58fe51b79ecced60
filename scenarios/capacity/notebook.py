"""The planner's answer as an executed notebook: tables and plots that can be taken apart further."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import nbformat

from scenarios.errors import LabError

TEMPLATE = "capacity_notebook_template.py"
TIMEOUT_S = 120


class NotebookFailed(LabError):
    """The notebook could not be executed or written."""


def write(answer: Path, target: Path) -> Path:
    """Execute the template on `answer` (answer.json) and store it as `target`. Raises NotebookFailed.

    The answer itself goes into the notebook, so that it can be sent to somebody who has no run folder.
    """
    text = (resources.files("scenarios.report") / TEMPLATE).read_text(encoding="utf-8")
    notebook: Any = jupytext.reads(text, fmt="py:percent")
    (parameters,) = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    parameters["source"] = f"ANSWER = {json.dumps(answer.read_text(encoding='utf-8'))}"
    parameters["metadata"]["jupyter"] = {"source_hidden": True}
    try:
        nbclient.NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3").execute()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")  # type: ignore[no-untyped-call]
    except (nbclient.exceptions.CellExecutionError, nbclient.exceptions.DeadKernelError) as error:
        raise NotebookFailed(f"{target}: the notebook failed: {error}") from error
    return target
