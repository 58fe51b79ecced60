"""A real redis-server for tests: on a free loopback port, in a folder of its own, killed and started at will."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.needs import needs
from tests.ports import free_port

START_S_MAX = 60.0


class RedisServer:
    """One server; `url` stays the same over restarts. Every event is on the disk before it is acknowledged."""

    def __init__(self, folder: Path) -> None:
        (self._program,) = needs("redis-server")
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = Redis(port=self.port, decode_responses=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it on what its folder holds; returns when it answers."""
        options = {
            "port": self.port, "bind": "127.0.0.1", "dir": self._folder, "save": "", "appendonly": "yes",
            "appendfsync": "always", "maxmemory-policy": "volatile-lru",
        }  # fmt: skip
        command = [self._program, *(part for key, value in options.items() for part in (f"--{key}", str(value)))]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + START_S_MAX
        while not self._answers():
            assert self._process.poll() is None, f"redis-server ended with {self._process.returncode}"
            assert time.monotonic() < deadline_s, "redis-server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def kill(self) -> None:
        """End it as a power cut would (kill -9)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it hang: connections stay open, nothing is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def lose_everything(self) -> None:
        """Kill it and take its disk away; the next start finds nothing."""
        self.kill()
        for path in sorted(self._folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    @property
    def running(self) -> bool:
        return self._process is not None
