"""From a run folder to a verdict and its report: right after a run, and again whenever someone asks.

Everything needed is in the folder: the scenario with its expectations, the history, and (from `processes`) the
databases themselves, which `audit` reads afresh in case the tables were doubted.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from scenarios import history as histories
from scenarios import report
from scenarios.checks import Verdict, check
from scenarios.history import History
from scenarios.report import verdict as verdicts
from scenarios.runfolder import RunFolder, RunFolderError, existing
from scenarios.spec import load_scenario


def judge(history: History, folder: RunFolder) -> Verdict:
    """Check `history` against the scenario of `folder`; verdict and report are written into the folder."""
    scenario = load_scenario(folder.scenario)
    verdict = check(history, scenario.expect)
    verdicts.write(verdict, folder.verdict)
    report.write(folder.path)
    return verdict


def audit(path: Path) -> Verdict:
    """Judge a finished run again, from its databases where it kept them.

    Raises RunFolderError, HistoryError, WorldError.
    """
    folder = existing(path)
    history = histories.read(folder.path)
    if any(folder.databases.glob("*.sqlite")):
        history = reread(history, folder)
        histories.write(history, folder.path)
    return judge(history, folder)


def reread(history: History, folder: RunFolder) -> History:
    """`history` with the tables that come from databases read from them again."""
    from scenarios.worlds.collector import audit_tables  # late: only runs of real services have databases

    start_ms = round(datetime.fromisoformat(history.meta["started_at"]).timestamp() * 1000)
    fresh = {name: histories.frame(name, rows) for name, rows in audit_tables(folder.databases, start_ms).items()}
    return replace(history, tables={**history.tables, **fresh})


def rewrite_report(paths: Sequence[Path]) -> Path:
    """The report of a finished run, or of several side by side, written again; returns the file.

    Raises RunFolderError, HistoryError.
    """
    folders = [existing(path) for path in paths]
    for folder in folders:
        if not folder.verdict.exists():
            raise RunFolderError(f"{folder.path}: has no verdict (its state: {folder.status().get('state')})")
    return report.write(*(folder.path for folder in folders))
