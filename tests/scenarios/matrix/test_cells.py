"""Which cells there are, and how they become runs."""

from itertools import pairwise

import pytest

from scenarios.matrix.cells import COORDINATOR, UNREACHABLE, Return, cells
from scenarios.matrix.passes import LATENESS_S, PACES, passes
from scenarios.spec import load_scenario
from settlement.protocol.crashpoints import COORDINATOR_POINTS, PARTICIPANT_POINTS


def test_every_step_of_every_role_is_there_unless_it_says_why_not():
    wanted = {(COORDINATOR, point) for point in COORDINATOR_POINTS}
    wanted |= {(service, point) for service in ("order", "payment") for point in PARTICIPANT_POINTS}
    found = {(cell.service, cell.point) for cell in cells()}
    assert {point.rpartition(".")[0] for _, point in wanted - found} == {
        pattern.removesuffix(".*") for _, pattern in UNREACHABLE
    }
    assert len(cells()) == 3 * len(found)


def test_patterns_choose():
    chosen = cells("gateway", "coordinator.decided.persist.*", "never")
    assert [(cell.point.rpartition(".")[2], cell.comes_back) for cell in chosen] == [
        ("before", Return.NEVER),
        ("after", Return.NEVER),
    ]


@pytest.mark.parametrize("world", PACES)
def test_each_cell_has_one_window_of_its_own(world):
    played = passes(cells(), PACES[world])
    windows = [window for each in played for window in each.windows]
    assert sorted(map(str, (window.cell for window in windows))) == sorted(map(str, cells()))
    for each in played:
        assert all(earlier.end_s <= later.start_s for earlier, later in pairwise(each.windows))
        assert each.windows[-1].end_s <= each.scenario.load_s + 0.001


@pytest.mark.parametrize("world", PACES)
def test_each_run_is_a_scenario_that_anybody_could_have_written(world, tmp_path):
    for each in passes(cells(), PACES[world]):
        file = tmp_path / "scenario.yaml"
        file.write_text(each.scenario.to_yaml(), encoding="utf-8")
        assert load_scenario(file).model_dump() == each.scenario.model_dump()


@pytest.mark.parametrize("world", PACES)
@pytest.mark.parametrize("phase", ["closed", "exhausted"])
def test_a_crash_is_armed_for_longer_than_the_question_it_waits_for_is_late(world, phase):
    (only,) = passes(cells("gateway", f"coordinator.{phase}.reply.before", "quick"), PACES[world])
    (crash,) = (fault for fault in only.scenario.faults if fault.kind == "crash_at")
    (question,) = (fault for fault in only.scenario.faults if fault.kind == "latency")
    assert crash.for_s == question.for_s == LATENESS_S + PACES[world].armed_s
