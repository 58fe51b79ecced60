"""Arrivals keep their times whatever the platform does; what cannot be executed is counted, never hidden."""

import signal
import time
from pathlib import Path

import numpy

from tests.loadtests.playing import Row, begin, finish, plan_of, play, start
from tests.loadtests.stub import Stub, serving

STALL_S = 2.0


def _latencies_s(rows: list[Row], since: str) -> "numpy.ndarray[tuple[int], numpy.dtype[numpy.float64]]":
    return numpy.array([row["ended_s"] - row[since] for row in rows])


def test_a_stall_shows_in_the_latency_from_the_intended_start(tmp_path: Path) -> None:
    """The known answer: of T seconds of even load, a stall of S seconds leaves a p99 of S - 0.01 T."""
    load_s = 8.0
    # Fewer users than arrivals within the stall (80): some of those have to wait for a user. As many again may wait.
    plan = plan_of(journey="browse", rate_per_s=40, load_s=load_s, pool=60, timeout_s=10.0)
    with serving(Stub(stall_at_request=240, stall_s=STALL_S)) as stub:
        played = play(plan, stub, tmp_path)
    assert (played.status, played.errors) == (0, "")
    first = played.step("goods_list")
    assert played.generator["dropped"] == 0
    assert len(first) == len(plan.arrivals)
    # A machine that is busy elsewhere makes stub and generator late; by how much is in their own accounts.
    tolerance_s = 0.2 + played.generator["lag_p99_s"]
    assert abs(numpy.percentile(_latencies_s(first, "intended_s"), 99) - (stub.stalled_s - 0.01 * load_s)) < tolerance_s
    waited = [row for row in first if row["started_s"] - row["intended_s"] > 0.1]
    assert len(waited) > 10
    # Seen from their actual start these were quick: that is the omission.
    omitted, told = (numpy.median(_latencies_s(waited, since)) for since in ("started_s", "intended_s"))
    assert omitted < told / 2


def test_a_closed_load_omits_the_same_stall(tmp_path: Path) -> None:
    plan = plan_of(journey="browse", kind="closed", users=2, load_s=4.0)
    with serving(Stub(stall_at_request=100, stall_s=STALL_S)) as stub:
        played = play(plan, stub, tmp_path)
    latencies_s = _latencies_s(played.step("goods_list") + played.step("cart_get"), "intended_s")
    assert latencies_s.max() > 1.0, "the stall was there"
    assert numpy.percentile(latencies_s, 99) < STALL_S / 2


def test_more_arrivals_than_anybody_can_execute_are_dropped_and_counted(tmp_path: Path) -> None:
    plan = plan_of(journey="browse", rate_per_s=40, load_s=1.0, pool=2, timeout_s=0.6)
    with serving(Stub(stall_at_request=1, stall_s=1.2)) as stub:
        played = play(plan, stub, tmp_path)
    generator = played.generator
    assert generator["dropped"] > 5
    assert generator["started"] + generator["dropped"] == generator["planned"] == 40
    assert {row["operation"] for row in played.requests} == {row["operation"] for row in played.step("goods_list")}, (
        "every journey that started is in the records from its first step on"
    )
    assert len(played.step("goods_list")) == generator["started"]


def test_users_have_carts_of_their_own(tmp_path: Path) -> None:
    with serving(Stub(stall_at_request=20, stall_s=0.3)) as stub:
        played = play(plan_of(rate_per_s=60, load_s=1.0, pool=10), stub, tmp_path)
    assert stub.accounts == 10
    assert stub.mixed_carts == 0
    assert [row["outcome"] for row in played.operations] == ["ok"] * 60
    assert {row["amount_minor"] for row in played.operations} == {500}


def test_it_stops_when_the_lab_is_gone_and_keeps_the_records(tmp_path: Path) -> None:
    with serving(Stub()) as stub:
        generator = start(plan_of(rate_per_s=20, load_s=30.0), stub.address, tmp_path)
        begin(generator)
        _wait_for_lines(tmp_path / "requests.jsonl", 20)
        assert generator.stdin is not None
        generator.stdin.close()
        played = finish(generator, tmp_path)
    assert played.status == 130
    assert 5 <= played.generator["started"] < 600
    assert all(row["status"] in {0, 200, 201} for row in played.requests)


def test_it_stops_on_sigterm(tmp_path: Path) -> None:
    with serving(Stub()) as stub:
        generator = start(plan_of(rate_per_s=20, load_s=30.0, kind="closed"), stub.address, tmp_path)
        begin(generator)
        _wait_for_lines(tmp_path / "requests.jsonl", 5)
        generator.send_signal(signal.SIGTERM)
        played = finish(generator, tmp_path)
    assert played.status == 130
    assert played.operations


def test_a_killed_generator_loses_nothing_that_it_was_told(tmp_path: Path) -> None:
    with serving(Stub()) as stub:
        generator = start(plan_of(rate_per_s=100, load_s=30.0), stub.address, tmp_path)
        begin(generator)
        _wait_for_lines(tmp_path / "operations.jsonl", 20)
        generator.kill()
        generator.communicate()
        recorded = _lines(tmp_path / "operations.jsonl")
    # One answer may have been on its way to each user.
    assert len(stub.executed) - 20 <= recorded <= len(stub.executed)


def test_what_is_no_registry_is_named(tmp_path: Path) -> None:
    with serving(Stub()) as stub:
        generator = start(plan_of(), f"{stub.address}/goods", tmp_path)
        out, errors = generator.communicate(timeout=120)
    assert (generator.returncode, out) == (1, "")
    assert "not a paylab registry" in errors
    assert stub.address in errors


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def _wait_for_lines(path: Path, count: int) -> None:
    deadline_s = time.monotonic() + 60
    while _lines(path) < count:
        assert time.monotonic() < deadline_s, f"{path} has {_lines(path)} lines"
        time.sleep(0.02)
