"""Histories: the same tables from every world, kept without loss, told apart by one digest."""

from pathlib import Path
from typing import Any

import pandas
import pytest

from scenarios.history import SCHEMAS, History, HistoryError, frame, history_sha256, read, write
from scenarios.plan import plan
from scenarios.spec import load_scenario

SERVICE = {"service": "gateway", "replica": "gateway-0", "event": "ready", "at_s": -1.25}
TRANSACTION: dict[str, Any] = {
    "gid": "g1", "kind": "payment", "key": None, "role": "order", "event": "vote", "value": "yes", "at_s": 0.1 + 0.2,
    "epoch": 1, "heuristic": False, "amount_minor": 2**53 + 1, "currency": "CNY", "method": "card",
}  # fmt: skip


def history(**tables: Any) -> History:
    return History(tables, plan(load_scenario("coordinator-crash"), 1), "simulated", {"started_at": "2026-01-01"})


def test_every_table_is_there_with_its_columns_even_if_empty() -> None:
    complete = history(services=[SERVICE])
    for name, schema in SCHEMAS.items():
        assert list(complete[name].columns) == schema.names
    assert len(complete["services"]) == 1
    assert complete["payments"].empty


def test_a_folder_gives_back_the_very_same_history(tmp_path: Path) -> None:
    saved = history(services=[SERVICE], transactions=[TRANSACTION, {**TRANSACTION, "at_s": None}])
    write(saved, tmp_path)
    loaded = read(tmp_path)
    assert history_sha256(loaded) == history_sha256(saved)
    assert (loaded.plan, loaded.world, loaded.meta) == (saved.plan, saved.world, saved.meta)
    row = loaded["transactions"].iloc[0]
    assert row["at_s"] == 0.1 + 0.2
    assert row["amount_minor"] == 2**53 + 1
    assert row["key"] == ""
    for name in SCHEMAS:
        pandas.testing.assert_frame_equal(loaded[name], saved[name])


@pytest.mark.parametrize("change", [{"at_s": 0.31}, {"gid": "g2"}, {"heuristic": True}, {"epoch": 2}])
def test_the_digest_notices_any_change(change: dict[str, Any]) -> None:
    before = history(transactions=[TRANSACTION])
    assert history_sha256(before) == history_sha256(history(transactions=[TRANSACTION]))
    assert history_sha256(before) != history_sha256(history(transactions=[{**TRANSACTION, **change}]))


def test_the_digest_does_not_depend_on_when_it_was() -> None:
    one, other = history(services=[SERVICE]), history(services=[SERVICE])
    other.meta["started_at"] = "2027-01-01"
    assert history_sha256(one) == history_sha256(other)


def test_numbers_become_texts_where_texts_are_meant() -> None:
    posting = {"gid": "g", "account": "a", "currency": "CNY", "amount_minor": 1, "layer": "posted", "posted_s": 1}
    table = frame("postings", [{"posting_id": 7, **posting}])
    assert table["posting_id"].tolist() == ["7"]
    assert table["posted_s"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({**SERVICE, "colour": "red"}, r"services: missing columns \[\], unknown columns \['colour'\]"),
        ({"service": "gateway"}, r"missing columns \['at_s', 'event', 'replica'\]"),
        ({**SERVICE, "at_s": "soon"}, "services.at_s: .*expected double"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_name(row: dict[str, Any], text: str) -> None:
    with pytest.raises(HistoryError, match=text):
        frame("services", [row])


def test_a_missing_integer_is_refused() -> None:
    with pytest.raises(HistoryError, match=r"transactions.epoch: a value is missing; expected int32"):
        frame("transactions", [{**TRANSACTION, "epoch": None}])


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(HistoryError, match="unknown tables: colours"):
        history(colours=[])


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"history\.json: cannot be read"):
        read(tmp_path)
    write(history(), tmp_path)
    (tmp_path / "payments.parquet").write_bytes(b"no parquet")
    with pytest.raises(HistoryError, match=r"payments\.parquet: cannot be read"):
        read(tmp_path)
