"""The scenarios that ship with paylab, by name."""

from importlib.resources import files
from pathlib import Path


def _folder() -> Path:
    return Path(str(files("scenarios"))) / "catalog"


def catalogue_names() -> list[str]:
    """Names of the catalogue, sorted."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def catalogue_path(name: str) -> Path:
    """The file of a name of the catalogue."""
    return _folder() / f"{name}.yaml"
