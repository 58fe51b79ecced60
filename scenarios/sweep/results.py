"""What a sweep came to: one row a variant, its digest, and estimates over the seeds."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas

from simulator.analysis import Estimate, mean_of, paired

FIRST = ("seed", "verdict", "failed", "history_sha256")


@dataclass(frozen=True)
class Results:
    """`table` has a row a variant, by number; its columns: variant, the varied `keys`, seed, verdict, ..., metrics."""

    table: pandas.DataFrame
    keys: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Sha256 of every value of every row, exactly: equal digests, equal results."""
        digest = hashlib.sha256(json.dumps(list(self.table.columns)).encode())
        for row in self.table.itertuples(index=False):
            digest.update(json.dumps(list(row)).encode())
        return digest.hexdigest()

    @property
    def metrics(self) -> list[str]:
        """The metrics that were measured in at least one variant."""
        return [name for name in self.table.columns if name not in ("variant", *self.keys, *FIRST)]

    def points(self) -> list[tuple[dict[str, Any], pandas.DataFrame]]:
        """The values of each combination with its rows, one a seed, in the order of the sweep."""
        if not self.keys:
            return [({}, self.table)]
        groups = self.table.groupby(list(self.keys), sort=False, dropna=False)
        return [(dict(zip(self.keys, values, strict=True)), rows) for values, rows in groups]

    def estimates(self, metric: str) -> pandas.DataFrame:
        """A metric of each combination: its keys, mean over the seeds, low, high (95 %), runs.

        Raises KeyError for a metric that no variant measured.
        """
        rows = [{**point, **_plain(_estimate(rows[metric]))} for point, rows in self.points()]
        return pandas.DataFrame(rows)

    def difference(self, metric: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Estimate:
        """By how much a metric is higher at `ours` than at `theirs`, seed by seed: they shared their luck.

        Raises ValueError where a combination does not exist or the seeds differ.
        """
        left, right = self._by_seed(metric, ours), self._by_seed(metric, theirs)
        return paired(left.to_numpy(), right.reindex(left.index).to_numpy())

    def _by_seed(self, metric: str, values: Mapping[str, Any]) -> "pandas.Series[Any]":
        rows = self.table
        for key, value in values.items():
            rows = rows[rows[key] == value]
        by_seed = rows.set_index("seed")[metric]
        if by_seed.empty or by_seed.index.has_duplicates:
            raise ValueError(f"{dict(values)} is {len(by_seed)} variants; expected one a seed, so name every key")
        return by_seed


def table_of(
    rows: Iterable[Mapping[str, Any]], points: Sequence[Mapping[str, Any]], seeds_count: int, keys: Sequence[str]
) -> pandas.DataFrame:
    """Rows of variants as a table by number, with the values of their points; metrics that nobody measured left out."""
    played = pandas.DataFrame.from_records(sorted(rows, key=lambda row: int(row["variant"])))
    if played.empty:
        return pandas.DataFrame(columns=["variant", *keys, *FIRST])
    of_row = [points[number // seeds_count] for number in played["variant"]]
    varied = {key: _column([point[key] for point in of_row]) for key in keys}
    measured = [name for name in played.columns if name not in ("variant", *FIRST) and played[name].notna().any()]
    columns = {"variant": played["variant"], **varied, **{name: played[name] for name in FIRST}}
    return pandas.DataFrame({**columns, **{name: played[name].astype("float64") for name in measured}})


def _column(values: Sequence[Any]) -> list[Any]:
    """Values of one kind as they are; of mixed kinds, or nested ones, as JSON, which a table can hold."""
    kinds = {type(value) for value in values}
    if (len(kinds) == 1 and kinds <= {int, float, str, bool}) or kinds == {int, float}:
        return list(values)
    return [value if isinstance(value, str) else json.dumps(value) for value in values]


def _estimate(values: "pandas.Series[Any]") -> Estimate | None:
    measured = values.dropna()
    return mean_of(measured.to_numpy()) if len(measured) else None


def _plain(estimate: Estimate | None) -> dict[str, float]:
    if estimate is None:
        return {"mean": float("nan"), "low": float("nan"), "high": float("nan"), "runs": 0}
    return {"mean": estimate.value, "low": estimate.low, "high": estimate.high, "runs": estimate.count}
