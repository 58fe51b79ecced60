"""Reports: a verdict for people (HTML, terminal) and for machines (verdict.json, JUnit). All read a run folder.

Drawing is imported late: matplotlib takes longer to load than most commands take to answer.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from scenarios.checks import Verdict

__all__ = ["print_comparison", "print_summary", "write"]


def write(*folders: Path) -> Path:
    """Write `report.html` and `junit.xml` into each run folder, which has its history and verdict.json.

    Returns the report; of several runs it is a comparison, beside the first folder. Raises HistoryError, OSError.
    """
    from scenarios.report import html, junit
    from scenarios.report.run import load

    runs = [load(folder) for folder in folders]
    for run in runs:
        junit.write(run.verdict, run.folder / "junit.xml")
        (run.folder / "report.html").write_text(html.page([run]), encoding="utf-8")
    if len(runs) == 1:
        return runs[0].folder / "report.html"
    path = runs[0].folder.parent / f"{runs[0].folder.name}-comparison.html"
    path.write_text(html.page(runs), encoding="utf-8")
    return path


def print_summary(verdict: "Verdict", console: "Console") -> None:
    """The verdict, its checks and its key figures."""
    from scenarios.report import terminal

    terminal.print_summary(verdict, console)


def print_comparison(verdicts: "list[Verdict]", console: "Console") -> None:
    """Several verdicts side by side."""
    from scenarios.report import terminal

    terminal.print_comparison(verdicts, console)
