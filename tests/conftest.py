"""For all tests: hypothesis does not judge how fast a machine is that others share, and who may run beside whom.

`pytest -n 2 --dist loadfile` runs two files at a time, so that what a file sets up for its tests is set up once. All
tests that start whole platforms, or compare what happened with the clock, count as one file: a machine bears one
platform at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling

settings.register_profile("shared_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared_machine")

ONE_AT_A_TIME = ("tests/compose/", "tests/e2e/", "tests/loadtests/test_open_load.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Platforms come last: by then nobody runs beside them and spoils what they measure."""
    items.sort(key=lambda item: item.nodeid.startswith(ONE_AT_A_TIME))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """The scheduler of `--dist loadfile`, which takes ONE_AT_A_TIME for one file."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # late: only who distributes tests needs it

    class OnePlatformAtATime(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "platform" if nodeid.startswith(ONE_AT_A_TIME) else str(super()._split_scope(nodeid))

    return OnePlatformAtATime(config, log)
