"""Programs that some tests need and a developer's machine may not have."""

from __future__ import annotations

import os
import shutil

import pytest

# Where Debian puts servers, which is not on everybody's PATH.
_ALSO_SEARCHED = "/usr/sbin:/usr/local/sbin:/sbin"


def needs(*programs: str) -> tuple[str, ...]:
    """The paths of these programs. Without one the test is skipped; under CI it fails."""
    search = f"{os.environ.get('PATH', '')}:{_ALSO_SEARCHED}"
    found = {program: shutil.which(program, path=search) for program in programs}
    missing = [program for program, path in found.items() if path is None]
    if missing:
        reason = f"not installed: {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return tuple(path for path in found.values() if path is not None)
