"""Where reports are kept: a folder, or an S3 endpoint, through fsspec. Everything here blocks: call it in a thread.

A file appears whole or not at all. In a folder it is written beside its place, synced and moved there; to S3 it goes
in a single put, which is atomic by itself.

The endpoint and the credentials of S3 come from the environment: PAYLAB_S3_ENDPOINT, PAYLAB_S3_KEY, PAYLAB_S3_SECRET,
or from the files named by PAYLAB_S3_KEY_FILE and PAYLAB_S3_SECRET_FILE. Files are read anew each time: keys change.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import fsspec

from settlement.chassis.environment import S3_KEY, S3_SECRET, with_files
from settlement.setting_formats import storage_problems

CONNECT_TIMEOUT_S: Final = 3
READ_TIMEOUT_S: Final = 15
# fsspec puts more than this in parts, and a report that large is somebody's mistake.
SIZE_BYTES_MAX: Final = 64 * 2**20
URL_LENGTH_MAX: Final = 500


class StorageFailed(Exception):
    """The storage could not be used; try again later. The text has no credentials in it."""


class FileGone(Exception):
    """The storage works, and has no such file."""


def base_url(configured: str, default_folder: Path) -> str:
    """The address under which reports are stored. Raises StorageFailed for one of another kind than file or s3."""
    url = configured or default_folder.resolve().as_uri()
    for problem in storage_problems(url):
        raise StorageFailed(problem)
    return url.rstrip("/")


def write(url: str, content: bytes) -> None:
    """Store content at a url, replacing what is there. Raises StorageFailed."""
    if len(content) > SIZE_BYTES_MAX:
        raise StorageFailed(f"{len(content)} bytes are more than the {SIZE_BYTES_MAX} that a report may have")
    try:
        system, path = _open(url)
        if urlsplit(url).scheme == "file":
            _write_file(system, path, content)
        else:
            system.pipe_file(path, content)
    except Exception as error:  # drivers raise their own, and all of them mean the same here
        raise _failed(error) from error


def read(url: str) -> bytes:
    """What is stored at a url. Raises StorageFailed, FileGone."""
    try:
        system, path = _open(url)
        content: bytes = system.cat_file(path)
    except FileNotFoundError as error:
        raise FileGone(url) from error
    except Exception as error:  # see `write`
        raise _failed(error) from error
    return content


def _open(url: str) -> tuple[Any, str]:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return fsspec.filesystem("file"), fsspec.filesystem("file")._strip_protocol(url)
    return fsspec.filesystem("s3", **_s3_options(with_files(os.environ))), f"{parts.netloc}{parts.path}"


def _s3_options(environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        # An empty variable is as good as none: Compose passes on what nobody has set.
        "key": environment.get(S3_KEY) or None,
        "secret": environment.get(S3_SECRET) or None,
        "endpoint_url": environment.get("PAYLAB_S3_ENDPOINT") or None,
        # A listing that was cached would hide what another replica stored.
        "use_listings_cache": False,
        "config_kwargs": {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "retries": {"max_attempts": 1},
            "s3": {"addressing_style": "path"},
        },
    }


def _write_file(system: Any, path: str, content: bytes) -> None:
    system.makedirs(os.path.dirname(path), exist_ok=True)
    beside = f"{path}.{uuid.uuid4().hex}.part"
    try:
        with system.open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        system.mv(beside, path)
    except BaseException:
        if system.exists(beside):
            system.rm_file(beside)
        raise


def _failed(error: Exception) -> StorageFailed:
    return StorageFailed(f"{type(error).__name__}: {error}"[:200])
