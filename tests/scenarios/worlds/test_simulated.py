"""The simulated world: a plan goes in, the same tables as of every other world come out."""

import pytest

from scenarios.checks import check
from scenarios.history import SCHEMAS, history_sha256
from scenarios.plan import plan
from scenarios.spec import catalogue_names, load_scenario
from scenarios.worlds import world_named
from scenarios.worlds.base import SilentProgress


class Listener(SilentProgress):
    def __init__(self):
        self.times, self.events, self.started = [], [], 0

    def clock(self, now_s):
        self.times.append(now_s)

    def fault(self, id, event, at_s):  # noqa: A002
        self.events.append((id, event))

    def arrivals(self, started):
        self.started = started


def _play(name, seed=7, overrides=(), progress=None):
    scenario = load_scenario(name, overrides)
    made = plan(scenario, seed)
    return scenario, world_named("simulated").play(made, None, progress or SilentProgress())


def test_the_same_seed_gives_the_same_digest_and_another_seed_another():
    digests = [history_sha256(_play("coordinator-crash", seed)[1]) for seed in (7, 7, 8)]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def _playable() -> list[str]:
    able = world_named("simulated").fault_kinds
    return [name for name in catalogue_names() if {fault.kind for fault in load_scenario(name).faults} <= able]


# How much is borne is the calibrated machine's to say: in a slow hour the real platform ends there as well.
OF_THE_MACHINE = {"saturation": ("throughput.knee", "generator_honest")}


@pytest.mark.parametrize("name", _playable())
def test_every_scenario_of_the_catalogue_ends_as_it_expects(name):
    scenario, history = _play(name)
    verdict = check(history, scenario.expect)
    assert {
        result.name: (str(result.verdict), result.explanation)
        for result in verdict.checks
        if result.verdict != "pass" and not result.name.startswith(OF_THE_MACHINE.get(name, ("-",)))
    } == {}


def test_every_table_has_its_columns_and_says_something():
    _, history = _play("coordinator-crash")
    assert history.world == "simulated"
    for name, schema in SCHEMAS.items():
        assert list(history[name].columns) == schema.names
        assert len(history[name]) or name in ("spans", "events")  # those are of real services


def test_progress_is_told_of_time_faults_and_arrivals():
    listener = Listener()
    _, history = _play("coordinator-crash", progress=listener)
    assert listener.times == sorted(listener.times)
    assert listener.times[-1] >= history.plan.duration_s - 1
    assert {named for named, _ in listener.events} == {fault.id for fault in history.plan.faults}
    assert listener.started == len(history.plan.arrivals)


def test_closed_users_are_played_too():
    closed = ("load.kind=closed", "load.stages=[{users: 5, for: 8s}]", "load.think=200ms")
    scenario, history = _play("baseline", overrides=closed)
    assert len(history["payments"]) > 50
    told = {result.name: str(result.verdict) for result in check(history, scenario.expect).checks}
    assert told["atomic"] == told["money_conserved"] == told["client_truth"] == "pass"
