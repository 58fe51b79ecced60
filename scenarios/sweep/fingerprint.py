"""Which code computed a result: rows of one sweep have to come from the same."""

import hashlib
import importlib.metadata
from pathlib import Path

import scenarios
import settlement
import simulator
from scenarios.sources import add_sources

LIBRARIES = ("numpy", "scipy", "pandas", "simpy", "pydantic")
PACKAGES = (settlement, simulator, scenarios)


def code_fingerprint() -> str:
    """Hex digest of the sources of the lab's packages, with their calibrations and scenarios, and library versions."""
    digest = hashlib.sha256()
    for library in LIBRARIES:
        digest.update(f"{library} {importlib.metadata.version(library)}\n".encode())
    for package in PACKAGES:
        for root in map(Path, package.__path__):
            add_sources(digest, root)
    return digest.hexdigest()
