"""The metrics of all services, found once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ..settlement.conftest import Cluster
from .exposed import Exposed, exposed_by_all


@pytest.fixture(scope="session")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[Exposed, tuple[str, ...]]:
    """Every metric with the services that expose it."""
    return asyncio.run(_found(tmp_path_factory.mktemp("exposed")))


async def _found(folder: Path) -> dict[Exposed, tuple[str, ...]]:
    cluster = Cluster(folder)
    try:
        return await exposed_by_all(cluster)
    finally:
        await cluster.close()
