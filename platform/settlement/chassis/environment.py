"""The environment of a service process: which variables may name a file instead of holding the value.

A container runtime hands secrets over as files, so that they show in no process list and no inspection. For each
variable below, `NAME_FILE` may therefore name the file that holds the value of `NAME`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

DATABASE_URL: Final = "PAYLAB_DATABASE_URL"
REDIS_URL: Final = "PAYLAB_REDIS_URL"
TRACE_ENDPOINT: Final = "PAYLAB_TRACE_ENDPOINT"
TRACE_FILE: Final = "PAYLAB_TRACE_FILE"
S3_KEY: Final = "PAYLAB_S3_KEY"
S3_SECRET: Final = "PAYLAB_S3_SECRET"  # noqa: S105 - the variable's name
FILE_SUFFIX: Final = "_FILE"

# Not every variable: TRACE_FILE, for one, is itself a value.
_MAY_BE_FILES: Final = (
    "PAYLAB_SERVICE_SECRET",
    "PAYLAB_JWT_SECRET",
    "PAYLAB_OPERATOR_TOKEN",
    "PAYLAB_NOTIFY_SECRET",
    "PAYLAB_FAULT_TOKEN",
    "PAYLAB_EUREKA_TOKEN",
    DATABASE_URL,
    REDIS_URL,
    S3_KEY,
    S3_SECRET,
)


class BadEnvironment(Exception):
    """Variables that contradict each other or name unusable files; `problems` has one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def with_files(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with every `NAME_FILE` replaced by `NAME`. Raises BadEnvironment naming all problems.

    The end of a file's last line does not count; an empty `NAME_FILE` is as good as none.
    """
    resolved, problems = dict(environment), list[str]()
    for name in _MAY_BE_FILES:
        path = resolved.pop(name + FILE_SUFFIX, "")
        if not path:
            continue
        if resolved.get(name):
            problems.append(f"both {name} and {name + FILE_SUFFIX} are set; expected one")
            continue
        try:
            resolved[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            problems.append(f"{name + FILE_SUFFIX}: cannot read {path}: {reason}")
            continue
        if not resolved[name]:
            problems.append(f"{name + FILE_SUFFIX}: {path} is empty")
    if problems:
        raise BadEnvironment(problems)
    return resolved
