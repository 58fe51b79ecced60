"""Scenarios that are not good: every problem, at its line, with what was expected; nothing else but a list."""

from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from scenarios.spec import InvalidScenario, Scenario, load_scenario

Write = Callable[..., Path]

MANY_MISTAKES = """\
name: many
question: What happens?
loda: {}
load:
  kind: open
  mix: {pay: 70, brows: 20}
  stages:
    - {rate: -3, for: 10s}
    - {rate: 5, for: 10 parsecs}
    - {users: 4, for: 0s}
phases: {warmup: -5s}
platform:
  replicas: {gatway: 2}
  settings: {gateway.foo: 1, http.timeout_ms: fast, gateway.lease_ms: 100}
faults:
  - {at: 10s, kind: explode}
  - {at: 3s, kind: kill, service: gatway, restart_after: 2s}
  - {at: 3s, kind: crash_at, service: payment, point: coordinator.decided.persist.after, restart_after: 2s}
  - {at: 3s, kind: crash_at, service: gateway, point: coordinator.decided.persist.aftr, restart_after: 2s}
  - {at: 3s, kind: latency, from: payment, service: order, delay: 3s}
expect:
  - atomc
  - latency.pay.p42 < 3s
  - in_doubt.max < 10 parsecs
  - latency.pay.p99 < 3s
"""

EXPECTED = {
    3: ["unknown key; did you mean load?"],
    6: ["unknown journey 'brows'; did you mean browse?"],
    8: ["load.stages.0.rate: -3 per second is impossible; expected 0 to"],
    9: ["load.stages.1.for: '10 parsecs': unknown unit 'parsecs'; expected"],
    10: ["load.stages.2.users: an open load has no users; expected rate", "load.stages.2.for: 0s is no time at all"],
    11: ["phases.warmup: -5s is negative"],
    13: ["unknown service 'gatway'; did you mean gateway?"],
    14: [
        "gateway.foo: unknown setting",
        "http.timeout_ms: expected a whole number",
        "must exceed gateway.prepare_timeout",
    ],
    16: ["faults.0.kind: unknown fault 'explode'; expected one of kill, pause, crash_at"],
    17: ["faults.1.service: unknown service 'gatway'"],
    18: ["faults.2: payment never passes coordinator.decided.persist.after; expected the service gateway"],
    19: ["faults.3.point: unknown crash point", "coordinator.decided.persist.after"],
    20: ["faults.4.for: is missing", "faults.4: both a link and a route are given"],
    22: ["expect.0: unknown expectation 'atomc'; did you mean atomic?"],
    23: ["expect.1: unknown metric 'latency.pay.p42'; did you mean latency.pay.p"],
    24: ["expect.2: '10 parsecs' does not fit in_doubt.max; expected a duration"],
}
TIMES_UNCHECKED = "times were not checked against the run's length: fix load.stages first"


def problems_of(path: Path, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(InvalidScenario) as caught:
        load_scenario(path, overrides)
    return [str(problem) for problem in caught.value.problems]


def only_problem(path: Path, *overrides: str) -> str:
    (problem,) = problems_of(path, overrides)
    return problem


def test_all_problems_come_at_once_each_at_its_line(write: Write) -> None:
    path = write(text=MANY_MISTAKES)
    *found, last = problems_of(path)
    assert last == f"{path}: {TIMES_UNCHECKED}"
    for line, texts in EXPECTED.items():
        at_line = [problem for problem in found if problem.startswith(f"{path}:{line}: ")]
        for text in texts:
            assert any(text in problem for problem in at_line), (line, text, at_line)
    lines = {int(problem.removeprefix(f"{path}:").split(":")[0]) for problem in found}
    assert lines == set(EXPECTED)


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("at: 2s", "at: 5s", 8, "faults.0.at: 5s is after the end of the load; expected a time before 5s"),
        ("restart_after: 1s", "restart_after: 9s", 8, "after the run's end; expected at most 10s"),
        ("restart_after: 1s", "restart_after: -1s", 8, "-1s is no time at all; expected a duration above zero"),
        ("at: 2s", "at: 2", 8, "2 has no unit; expected a number with one of ms, s, min, h"),
        ("at: 2s, ", "", 8, "faults.0.at: is missing; expected when it starts"),
        ("service: gateway", "service: gateway, replica: 1", 8, "there is no gateway-1; expected a replica below 1"),
        ("restart_after: 1s", "restart_after: 1s, fro: x", 8, "faults.0.fro: unknown key"),
        ("rate: 20", "rate: 0", 5, "no arrivals at all"),
        ("rate: 20", "rate: true", 5, "True is not a rate"),
        ("rate: 20", "rate: 20 bananas", 5, "'20 bananas' is not a rate"),
        ("{rate: 20, for: 5s}", "{for: 5s}", 5, "rate is missing"),
        ("{browse: 1}", "{browse: 0}", 4, "load.mix: has no weight above zero"),
        ("recovery: 5s", "warmup: 5s", 6, "phases.warmup: 5s leaves nothing of the load"),
        ("latency.browse.p99 < 1s", "latency.browse.p99 < 1s during lunch", 9, "no phase 'lunch' in this run"),
        ("latency.browse.p99 < 1s", "latency.browse.p99 < 1s for 50s", 9, "longer than the phase load"),
        ("latency.browse.p99 < 1s", "latency.pay.p99 < 1s", 9, "nobody does 'pay' in this load"),
        ("latency.browse.p99 < 1s", "throughput.knee >= 60", 9, "a knee cannot be seen"),
        ("latency.browse.p99 < 1s", "not latency.browse.p99 < 1s", 9, "a threshold has its opposite"),
        ("latency.browse.p99 < 1s", "not atomc", 9, "unknown expectation 'atomc'; did you mean atomic?"),
        ("latency.browse.p99 < 1s", "not not atomic", 9, "is negated twice"),
        ("latency.browse.p99 < 1s", "atomic under artcle", 9, "unknown protocol 'artcle'; did you mean article?"),
        ("latency.browse.p99 < 1s", "not atomic under article", 9, "nothing is asked of two_phase"),
        ("name: small", "name: Small One", 1, "'Small One' does not fit"),
        ("name: small", "name: 5", 1, "5 does not fit; expected text"),
        ("question: Does it work?", "question: ''", 2, "expected some text"),
        ("question: Does it work?\n", "", 1, "question: is missing"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_problem(write: Write, old: str, new: str, line: int, text: str) -> None:
    path = write((old, new))
    problem = only_problem(path)
    assert problem.startswith(f"{path}:{line}: ")
    assert text in problem


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("stages: [{rate: 20, for: 5s}]", "stages: []", "expected at least 1"),
        ("for: 5s", "for: 5 parsecs", "unknown unit 'parsecs'"),
    ],
)
def test_without_a_length_of_the_run_times_are_not_checked_which_is_said_last(
    write: Write, old: str, new: str, problem: str
) -> None:
    path = write((old, new), ("at: 2s", "at: 60s"))
    first, last = problems_of(path)
    assert problem in first
    assert last == f"{path}: {TIMES_UNCHECKED}"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("atomic, atomic", "expect.1: asks the same as expect.0; expected once"),
        ("in_doubt.max < 1s, atomic, in_doubt.max  <  1000ms", "expect.2: asks the same as expect.0; expected once"),
        ("atomic, atomic under two_phase", "expect.1: asks the same as expect.0; expected once"),
        (
            "not atomic under two_phase, atomic",
            "expect.1: is the opposite of expect.0; expected one of them, or other protocols",
        ),
    ],
)
def test_the_same_expectation_twice_is_a_problem(write: Write, lines: str, text: str) -> None:
    path = write(("[latency.browse.p99 < 1s]", f"\n  - {lines}".replace(", ", "\n  - ")))
    line = 10 + lines.count(",")
    assert only_problem(path) == f"{path}:{line}: {text}"


def test_thresholds_that_differ_in_their_phase_are_not_the_same(write: Write) -> None:
    twice = "[latency.browse.p99 < 1s, latency.browse.p99 < 1s during stage1]"
    assert load_scenario(write(("[latency.browse.p99 < 1s]", twice)))


def test_a_replica_that_is_down_cannot_be_hit_again(write: Write) -> None:
    second = "restart_after: 1s}\n  - {at: 2500ms, kind: kill, service: gateway, restart_after: 1s}"
    assert "gateway-0 is down until 3s by faults.0" in only_problem(write(("restart_after: 1s}", second)))


def test_recovery_needs_a_fault(write: Write) -> None:
    path = write(("latency.browse.p99 < 1s", "recovery.time < 1s"))
    assert "nothing to recover from" in only_problem(path, "faults=[]")


def test_duplicate_keys_are_all_found(write: Write) -> None:
    found = problems_of(write(("name: small", "name: small\nname: other"), ("{rate: 20,", "{rate: 20, rate: 30,")))
    assert [problem.split(": ", 1)[1] for problem in found] == [
        "name: is given twice; expected once (it is on line 1 already)",
        "load.stages.0.rate: is given twice; expected once (it is on line 6 already)",
    ]


def test_times_are_checked_although_something_else_is_wrong(write: Write) -> None:
    found = problems_of(write(("name: small", "name: small\nnmae: x"), ("at: 2s", "at: 60s")))
    assert any("unknown key; did you mean name?" in problem for problem in found)
    assert any("60s is after the end of the load" in problem for problem in found)


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("load.stages.0.rate=-1", "--set: load.stages.0.rate: -1 per second is impossible"),
        ("load.stages.7.rate=1", "--set: load.stages has no 7; expected a number from 0 to 0"),
        ("lod.pool=3", "--set: lod: unknown key; did you mean load?"),
        ("load.pool", "--set: 'load.pool' is no override; expected key=value"),
        ("name.x=3", "--set: name is 'small', with nothing inside"),
        ("load.pool={", "is no YAML value"),
        (
            "platform.settings.http.timout_ms=1",
            "--set: platform.settings.http.timout_ms: unknown setting; did you mean",
        ),
        ("platform.replicas.gateway=0", "--set: platform.replicas.gateway: 0 does not fit; expected 1 or more"),
        ("faults.0.at=90s", "--set: faults.0.at: 90s is after the end of the load"),
        ("platform.protocol=three_phase", "unknown protocol 'three_phase'; did you mean two_phase?"),
        ("platform.settings.gateway.protocol=article", "is the lab's to set; expected platform.protocol instead"),
    ],
)
def test_a_bad_override_is_named_as_such(write: Write, override: str, text: str) -> None:
    assert text in only_problem(write(), override)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", ":1: is empty; expected a scenario"),
        (b"# only a comment\n", ":1: is empty"),
        (b"name: [1, 2\nload: 3\n", ":2: is no YAML"),
        (b"name: a\n\tload: b\n", ":2: is no YAML"),
        (b"- a\n- b\n", ":1: ['a', 'b'] is no scenario; expected keys: name, question"),
        (b"just text", "is no scenario"),
        (b"\xff\xfe\x00binary\x00", "is not text in UTF-8"),
        (b"name: a\x00b\n", "is no YAML"),
        (b"name: !!python/object/apply:os.system [id]\n", "is no YAML"),
        (b"a: &a [*a]\n", "is nested too deeply"),
        (b"name: a\n---\nname: b\n", "is no YAML"),
        (b"? [a, b]\n: 3\n", "is no"),
        (b"a: " + b"[" * 200 + b"]" * 200, "is"),
        (b"a: " + b"[" * 5000, "is no YAML"),
        (b"x" * 1_100_000, "is larger than"),
        (b"1: 2\nname: a\n", "is no key; expected text"),
        (b"rate: 9" + b"9" * 5000, ""),
    ],
)
def test_a_file_that_is_no_scenario_is_named(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    found = problems_of(path)
    assert all(problem.startswith(str(path)) for problem in found)
    assert any(text in problem for problem in found)


def test_a_directory_and_a_missing_file_are_named(tmp_path: Path) -> None:
    assert f"{tmp_path}: is a directory; expected a scenario file" in only_problem(tmp_path)
    missing = tmp_path / "missing.yaml"
    assert f"{missing}: No such file or directory" in only_problem(missing)


WORDS = st.sampled_from(
    ["name", "load", "stages", "rate", "for", "faults", "kind", "kill", "at", "expect", "atomic", "5s"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(
    key=st.sampled_from(["load", "load.stages", "faults", "faults.0", "expect", "platform", "phases", "load.mix"]),
    value=VALUES,
)
def test_whatever_is_written_the_answer_is_a_scenario_or_a_list(key: str, value: object) -> None:
    text = StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.width = 1_000_000
    writer.dump(value, text)
    with suppress(InvalidScenario):  # any other exception would be a bug
        assert isinstance(load_scenario("coordinator-crash", [f"{key}={text.getvalue()}"]), Scenario)
