"""Which code it was: a digest of source files."""

from pathlib import Path
from typing import Protocol

SUFFIXES = (".py", ".json", ".yaml")


class Digest(Protocol):
    """A hash that grows, as `hashlib` has them."""

    def update(self, more: bytes, /) -> None:
        """Add bytes."""
        ...


def add_sources(digest: Digest, package: Path) -> None:
    """Add name and content of every source of a package, with its calibrations and scenarios."""
    for path in sorted(package.rglob("*")):
        if path.suffix in SUFFIXES:
            digest.update(f"{path.relative_to(package)}\n".encode() + path.read_bytes())
