"""Run every notebook's source (`*.py`, percent format) and store it with its outputs beside it (`*.ipynb`).

    python notebooks/execute.py [SOURCE...]

What a second execution would change without meaning (times, ids, versions) is left out, so that a difference is one.
"""

import sys
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import nbformat

HERE = Path(__file__).parent
TIMEOUT_S = 300


def execute(source: Path) -> Path:
    """Run one source in its own folder; returns the notebook written. Raises CellExecutionError."""
    notebook: Any = jupytext.read(source)
    nbclient.NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": str(source.parent)}}).execute()
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{number:02}"
        cell["metadata"].pop("execution", None)
    notebook["metadata"] = {
        "kernelspec": notebook["metadata"]["kernelspec"],
        "jupytext": {"text_representation": {"extension": ".py", "format_name": "percent"}},
    }
    target = source.with_suffix(".ipynb")
    nbformat.write(notebook, target)
    return target


def main() -> None:
    """Execute the sources named on the command line, or all."""
    named = [Path(argument).resolve() for argument in sys.argv[1:]]
    for source in named or sorted(HERE.glob("[0-9]*.py")):
        print(f"{source.name} -> {execute(source).name}")


if __name__ == "__main__":
    main()
