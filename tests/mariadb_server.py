"""A MariaDB server for the tests, with the schemas, users and grants that deploy/mariadb gives the platform."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pytest

from settlement.topology import SERVICES
from tests.needs import needs
from tests.ports import free_port

DEPLOY = Path(__file__).parents[1] / "deploy" / "mariadb"
BACKENDS = ["sqlite", "mariadb"]
both_backends = pytest.mark.parametrize("backend", BACKENDS, indirect=True)
# Services that the tests invent have their schemas too.
INVENTED = ("probe", "things")
START_S_MAX = 60
INSTALL_TRIES = 2


@dataclass
class MariaServer:
    """A running server; every service's password is its name."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    binary: str = ""
    schemas: list[str] = field(default_factory=lambda: [*SERVICES, *INVENTED])

    def url(self, service: str) -> str:
        return f"mariadb://{service}:{service}@127.0.0.1:{self.port}/{service}"

    def admin(self, sql: str) -> list[tuple[Any, ...]]:
        """Execute one statement as root."""
        with closing(pymysql.connect(unix_socket=str(self.folder / "socket"), user="root", autocommit=True)) as link:
            cursor = link.cursor()
            cursor.execute(sql)
            return list(cursor.fetchall())

    def empty(self) -> None:
        """Drop everything that is in the schemas; users and grants stay."""
        for (schema,) in self.admin("SELECT DISTINCT table_schema FROM information_schema.tables"):
            if schema in self.schemas:
                self.admin(f"DROP DATABASE `{schema}`")
                self.admin(f"CREATE DATABASE `{schema}`")

    def start(self) -> None:
        arguments = [
            self.binary, f"--defaults-file={DEPLOY / 'paylab.cnf'}", f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}", f"--port={self.port}", "--bind-address=127.0.0.1",
            f"--pid-file={self.folder / 'pid'}", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M",
            f"--log-error={self.folder / 'log'}", *(["--user=root"] if os.geteuid() == 0 else []),
        ]  # fmt: skip
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + START_S_MAX
        while True:
            try:
                self.admin("SELECT 1")
            except pymysql.err.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline_s, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(START_S_MAX)

    def kill_connections(self, user: str) -> int:
        """End every session of a user, as an operator's KILL does; returns how many."""
        sessions = self.admin(f"SELECT id FROM information_schema.processlist WHERE user = '{user}'")
        for (number,) in sessions:
            self.admin(f"KILL {number}")
        return len(sessions)


@contextmanager
def running(folder: Path) -> Iterator[MariaServer]:
    """A server in this folder until the end of the block."""
    binary, install, _ = needs("mariadbd", "mariadb-install-db", "mariadb")
    _install(install, folder / "data")
    server = MariaServer(folder, free_port(), binary=binary)
    server.start()
    try:
        _grant(server)
        yield server
    finally:
        server.stop(signal.SIGTERM)


def _install(program: str, data: Path) -> None:
    """Make the data folder. A second try, because a machine that is short of something for a moment fails the first."""
    command = [
        # --force: it would look up this machine's name, and give up where nobody answers.
        program, "--no-defaults", "--force", f"--datadir={data}", "--auth-root-authentication-method=normal",
        "--skip-test-db", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M",
        *(["--user=root"] if os.geteuid() == 0 else []),
    ]  # fmt: skip
    said = []
    for _ in range(INSTALL_TRIES):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            return
        made = sorted(str(path.relative_to(data)) for path in data.rglob("*"))
        free_mib = shutil.disk_usage(data.parent).free // 2**20
        said.append(f"status {done.returncode}, {free_mib} MiB free, made {made}\n{done.stdout}{done.stderr}")
        shutil.rmtree(data, ignore_errors=True)
    pytest.fail("mariadb-install-db failed each time:\n" + "\n".join(said))


def _grant(server: MariaServer) -> None:
    users = server.folder / "users"
    users.mkdir()
    (server.folder / "root_password").write_text("")
    for name in (*server.schemas, "lab"):
        (users / name).write_text(name)
    environment = {
        "PATH": os.environ["PATH"],
        "PAYLAB_MARIADB_SECRETS": str(server.folder),
        "PAYLAB_MARIADB_SOCKET": str(server.folder / "socket"),
    }
    subprocess.run(["sh", str(DEPLOY / "schemas.sh")], check=True, env=environment)
