"""Which machine this is, and what runs on it: a calibration is true of that and of nothing else."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

LIBRARIES = ("fastapi", "uvicorn", "uvloop", "aiohttp", "sqlalchemy", "pydantic", "locust")
ENGINE = re.compile(r"(dockerd|containerd|docker-proxy|runc|podman|conmon)")
CPU_INFO = Path("/proc/cpuinfo")


def machine_id() -> str:
    """A readable name for machines of this kind: `2x-intel-xeon-platinum-8581c`."""
    model = re.sub(r"\(.*?\)|\bcpu\b|@.*|\bprocessor\b", " ", _cpu_model().lower())
    slug = re.sub(r"[^a-z0-9]+", "-", model).strip("-")
    return f"{cores()}x-{slug or 'unknown'}"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def description() -> dict[str, Any]:
    """Machine, date and versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "id": machine_id(), "cpu": _cpu_model(), "cores": cores(),
            "memory_bytes": psutil.virtual_memory().total, "kernel": platform.release(), "system": platform.system(),
        },
        "versions": {"python": platform.python_version(), "paylab": _version("paylab")}
        | {name: _version(name) for name in LIBRARIES},
    }  # fmt: skip


def busy_cpu_s() -> float:
    """CPU seconds that the whole machine has spent so far."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0) + getattr(times, "steal", 0.0))


def engine_cpu_s() -> float:
    """CPU seconds that the container engine's processes have spent so far, with those of children that are gone."""
    found = (process.info for process in psutil.process_iter(["name", "cpu_times"]))
    engine = [each["cpu_times"] for each in found if each["cpu_times"] and ENGINE.match(each["name"] or "")]
    return float(sum(times.user + times.system + times.children_user + times.children_system for times in engine))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _cpu_model() -> str:
    if CPU_INFO.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", CPU_INFO.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()
