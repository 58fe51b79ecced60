"""verdict.json: the judgement of a run for machines."""

import json
from pathlib import Path

from scenarios.checks import Verdict
from scenarios.history import HistoryError

NAME = "verdict.json"


def write(verdict: Verdict, path: Path) -> None:
    """Write the document. No NaN: what was not measured is null."""
    path.write_text(json.dumps(verdict.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read(path: Path) -> Verdict:
    """The verdict in `path`. Raises HistoryError that names the file and what is wrong with it."""
    try:
        return Verdict.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise HistoryError(f"{path}: cannot be read: {error.strerror}; was this run judged?") from error
    except (ValueError, KeyError, TypeError) as error:
        raise HistoryError(f"{path}: is no verdict: {error}") from error
