"""A platform by hand, and a keeper program that uses it: starts nothing, and notes that it was stopped."""

import sys
from pathlib import Path
from typing import Any

from scenarios import keeper
from scenarios.worlds import processes
from scenarios.worlds.base import Addresses, WorldError
from scenarios.worlds.real import Death

REGISTRY = "http://127.0.0.1:8761"
BUSY_PORT = 1


class FakePlatform:
    operator_token = "secret"

    def __init__(self, logs: Path, **options: Any) -> None:
        self.folder = logs.parent
        self.options = options
        self.restarted: list[str] = []
        self.deaths_left = int(options["profile_settings"].get("deaths", 0))
        self.interrupted = bool(options["profile_settings"].get("interrupted", False))

    def __enter__(self) -> "FakePlatform":
        if self.options["port"] == BUSY_PORT:
            raise WorldError("port 1 on 127.0.0.1 is not free", self.folder / "logs" / "configcenter-0.log")
        return self

    def __exit__(self, *_: object) -> None:
        (self.folder / "stopped").write_text(" ".join(self.restarted))

    @property
    def addresses(self) -> Addresses:
        return Addresses(REGISTRY, {"gateway-0": "http://127.0.0.1:1234"})

    def deaths(self) -> list[Death]:
        if not self.deaths_left:
            return []
        self.deaths_left -= 1
        return [Death("gateway-0", ("gateway-0",), -9, 0, self.folder / "gateway-0.log")]

    def restart(self, replica: str) -> None:
        self.restarted.append(replica)

    def refresh(self) -> None:
        if self.interrupted and not self.deaths_left:
            raise KeyboardInterrupt


if __name__ == "__main__":
    processes.Platform = FakePlatform  # type: ignore[misc,assignment]
    sys.exit(keeper.main())
