"""Python processes that tests start: what they import is what is tested, wherever it was installed from."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def importing_first(folder: Path) -> str:
    """A PYTHONPATH: this folder's modules before everything that this process can import."""
    return os.pathsep.join((str(folder), *filter(None, sys.path)))
