"""Logs as JSON lines on stdout.

A line costs about 20 microseconds, so there is one per state-changing request and none per read.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
from structlog.exceptions import DropEvent
from structlog.typing import FilteringBoundLogger

from settlement.chassis.trace import current_trace
from settlement.topology import SERVICES

_NUMBERS: Final = logging.getLevelNamesMapping()
# Libraries whose level was changed here, and what it was before.
_changed: Final = dict[str, int]()


def _add_context(_logger: object, level: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    trace = current_trace()
    head: dict[str, Any] = {"ts": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level}
    head["service"] = line.pop("service", "")
    head["replica"] = line.pop("replica", "")
    head["event"] = line.pop("event", "")
    head["trace_id"] = line.pop("trace_id", trace.trace_id)
    head["gid"] = line.pop("gid", trace.gid)
    return {**head, **line}


def _render_json(_logger: object, _level: str, line: MutableMapping[str, Any]) -> str:
    return orjson.dumps(line, default=str).decode()


class _LineWriter:
    """One write per line, flushed: what was logged before a SIGKILL is on record."""

    def msg(self, line: str) -> None:
        """Write one line; a reader that is gone must not take the service with it."""
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            return

    debug = info = warning = error = critical = exception = msg


def configure_logging(level: str, levels: Mapping[str, str] | None = None) -> None:
    """Route structlog, and the standard library's warnings, to JSON lines on stdout.

    `levels` are the levels of single services and of libraries' loggers, whatever `level` is.
    """
    numbers = {name: _NUMBERS[word] for name, word in (levels or {}).items()}
    services = {name: number for name, number in numbers.items() if name in SERVICES}
    structlog.configure(
        processors=[
            *([_Threshold(_NUMBERS[level], services)] if numbers else []),
            _add_context,
            structlog.processors.format_exc_info,
            _render_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(min(_NUMBERS[level], *numbers.values(), logging.CRITICAL)),
        logger_factory=lambda *_args: _LineWriter(),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_ToStructlog()], level=max(_NUMBERS[level], logging.WARNING), force=True)
    _set_libraries({name: number for name, number in numbers.items() if name not in SERVICES})


def _set_libraries(numbers: Mapping[str, int]) -> None:
    for name, before in _changed.items():
        logging.getLogger(name).setLevel(before)
    _changed.clear()
    for name, number in numbers.items():
        _changed[name] = logging.getLogger(name).level
        logging.getLogger(name).setLevel(number)


class _Threshold:
    """Drops what is below its service's level. There only while some service or library has a level of its own."""

    def __init__(self, usual: int, services: Mapping[str, int]) -> None:
        self._usual = usual
        self._services = services

    def __call__(self, _logger: object, level: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # A library's line has passed its own logger's level already.
        least = logging.NOTSET if "logger" in line else self._services.get(line.get("service", ""), self._usual)
        if _NUMBERS[level.upper()] < least:
            raise DropEvent
        return line


class _ToStructlog(logging.Handler):
    """Hands the libraries' log records to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record of a library."""
        structlog.get_logger().log(
            record.levelno, "library_log", logger=record.name, message=record.getMessage(), exc_info=record.exc_info
        )


def get_logger(service: str, replica: str) -> FilteringBoundLogger:
    """A logger whose lines carry service and replica; trace id and gid come from the running task.

    It is assembled anew for each line, so that a new `log.level` is followed at once.
    """
    logger: FilteringBoundLogger = structlog.get_logger(service=service, replica=replica)
    return logger
