"""For all tests: hypothesis does not judge how fast a machine is that others share, and who may run beside whom.

`pytest -n 2 --dist loadfile` runs two files at a time, so that what a file sets up for its tests is set up once. All
tests that start whole platforms, or compare what happened with the clock, count as one file: a machine bears one
platform at a time. The first worker begins with them, and all others are nice: they take what a platform leaves.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling
    from xdist.workermanage import WorkerController

settings.register_profile("shared_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared_machine")

ONE_AT_A_TIME: Final = ("tests/compose/", "tests/e2e/", "tests/loadtests/test_open_load.py")
PLATFORM: Final = "platform"
PLAYS_PLATFORMS: Final = "gw0"
"""The worker, as pytest-xdist calls it, that everybody else makes room for."""
NICE: Final = 19
LONG: Final = (
    "tests/scenarios/test_compiling.py",
    "tests/scenarios/test_notebooks_of_questions.py",
    "tests/mutants/test_mutants.py",
    "tests/settlement/test_openapi.py",
    "tests/settlement/chassis/test_participant_driver.py",
    "tests/scenarios/fuzz/",
)
"""What takes longest does not come last, when the other worker may have nothing left to do."""


def pytest_configure(config: pytest.Config) -> None:
    worker = getattr(config, "workerinput", {}).get("workerid", PLAYS_PLATFORMS)
    if worker != PLAYS_PLATFORMS:
        os.nice(NICE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Platforms come last, for whom has one worker only."""
    items.sort(key=lambda item: (item.nodeid.startswith(ONE_AT_A_TIME), not item.nodeid.startswith(LONG)))


def pytest_collection_finish() -> None:
    """What was imported stays until the end: looking through it for garbage took a seventh of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """The scheduler of `--dist loadfile`, which takes ONE_AT_A_TIME for one file that one worker begins with."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # late: only who distributes tests needs it

    class OnePlatformAtATime(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return PLATFORM if nodeid.startswith(ONE_AT_A_TIME) else str(super()._split_scope(nodeid))

        def _assign_work_unit(self, node: WorkerController) -> None:
            if PLATFORM in self.workqueue:
                self.workqueue.move_to_end(PLATFORM, last=node.gateway.id != PLAYS_PLATFORMS)
            super()._assign_work_unit(node)

    return OnePlatformAtATime(config, log)
