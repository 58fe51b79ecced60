"""For all tests: hypothesis does not judge how fast a machine is that others share, and who may run beside whom.

`pytest -n 2 --dist loadgroup` runs two groups of tests at a time. A file is a group, so that what it sets up for its
tests is set up once; all tests that start whole platforms, or compare what happened with the clock, are one group:
a machine bears one platform at a time.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("shared_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared_machine")

HERE = Path(__file__).parent
ONE_AT_A_TIME = ("compose", "e2e", "loadtests/test_open_load.py")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        name = item.path.relative_to(HERE).as_posix()
        group = "platform" if name.startswith(ONE_AT_A_TIME) else name
        item.add_marker(pytest.mark.xdist_group(group))
