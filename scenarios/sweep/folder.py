"""Where a sweep is kept while it goes on: its definition, and what is finished, in parts that are whole or not there.

sweep.json        what is played, complete: enough to go on after the lab was killed
parts/*.parquet   the rows that came in, each file written beside and renamed; nothing in them is played again
results.parquet   all rows, by number; when it is written the parts are gone
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet

from scenarios.errors import LabError
from scenarios.runfolder import RunFolderError, new_folder
from scenarios.thresholds import metric_names

SCHEMA = pyarrow.schema(
    [("variant", pyarrow.int64()), ("seed", pyarrow.int64()), ("verdict", pyarrow.string())]
    + [("failed", pyarrow.string()), ("history_sha256", pyarrow.string())]
    + [(name, pyarrow.float64()) for name in metric_names()]
)


class SweepFolderError(LabError):
    """A folder that is no sweep's, or that somebody else is working in."""


class SweepFolder:
    """One sweep's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.definition, self.results, self._parts = path / "sweep.json", path / "results.parquet", path / "parts"

    @classmethod
    def create(cls, parent: Path, name: str, definition: Mapping[str, Any]) -> "SweepFolder":
        """A new one under `parent`. Raises RunFolderError."""
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder = cls(new_folder(parent, name))
            folder._parts.mkdir()
            _write_whole(folder.definition, json.dumps(definition, indent=1).encode() + b"\n")
        except OSError as error:
            raise RunFolderError(f"cannot write the sweep's folder under {parent}: {error.strerror}") from error
        return folder

    def read_definition(self) -> dict[str, Any]:
        """What `create` was given. Raises SweepFolderError."""
        try:
            found = json.loads(self.definition.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            raise SweepFolderError(f"{self.path}: is no sweep's folder: sweep.json: {reason}") from error
        return dict(found)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else writes into the folder meanwhile. Raises SweepFolderError."""
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SweepFolderError(f"{self.path}: another paylab is playing this sweep") from None
            yield

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows: from now on they are never played again, whatever happens."""
        if rows:
            first = min(row["variant"] for row in rows)
            table = pyarrow.Table.from_pylist(list(rows), schema=SCHEMA)
            _write_table(self._parts / f"{first:08d}.parquet", table)

    def rows(self) -> list[dict[str, Any]]:
        """Everything that was kept. Raises SweepFolderError for a file that is damaged."""
        found: list[dict[str, Any]] = []
        for path in sorted(self._parts.glob("*.parquet")):
            try:
                found += pyarrow.parquet.read_table(path).to_pylist()
            except (OSError, pyarrow.ArrowException) as error:
                raise SweepFolderError(
                    f"{path}: cannot be read: {error}; delete it to play its variants again"
                ) from error
        return found

    def finish(self, table: pandas.DataFrame) -> None:
        """Write the results, and then remove the parts that they are made of."""
        _write_table(self.results, pyarrow.Table.from_pandas(table, preserve_index=False))
        for path in self._parts.glob("*"):
            path.unlink()

    def finished(self) -> pandas.DataFrame | None:
        """The results, if there are any. Raises SweepFolderError."""
        if not self.results.exists():
            return None
        try:
            table: pandas.DataFrame = pyarrow.parquet.read_table(self.results).to_pandas()
        except (OSError, pyarrow.ArrowException) as error:
            raise SweepFolderError(f"{self.results}: cannot be read: {error}") from error
        return table


def _write_table(path: Path, table: pyarrow.Table) -> None:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    _write_whole(path, sink.getvalue().to_pybytes())


def _write_whole(path: Path, content: bytes) -> None:
    """A reader, and whoever comes after a SIGKILL, sees the whole file or none."""
    scratch = path.with_name(f"{path.name}.new")
    with scratch.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
