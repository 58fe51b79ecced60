"""Every planted bug by name: the one list that the scoreboard and the tests read.

    with mutated("presume_commit"):
        ...                                    # this process runs the broken protocol

A mutant changes this process. `tests/mutants/start` on PYTHONPATH does the same to processes that somebody else starts:
`PAYLAB_MUTANT` names which.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from . import protocol_patches, service_patches
from .patching import Mutant

if TYPE_CHECKING:
    from scenarios.mutants.attack import Attack

MUTANTS: dict[str, Mutant] = {**protocol_patches.MUTANTS, **service_patches.MUTANTS}
"""In the order of the scoreboard."""


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The shipped code with one mistake, and as it was again afterwards."""
    undo = MUTANTS[name].apply()
    try:
        yield
    finally:
        undo()


def _services(seed: int, traced: bool) -> Attack:
    """Real services in this process: see `services.instrument`."""
    from .services.instrument import services  # late: it loads all the services

    return services(seed, traced)


INSTRUMENTS = {"services": _services}
"""What the scoreboard has beside its own instruments: the lab itself must not import the services."""
