"""The secrets of a composed platform: generated once, kept in a folder that git ignores, handed out service by service.

`secrets.json` (mode 0600) is what was generated; from it every container gets a folder with what it may know, which
docker-compose.yml mounts at /run/secrets. The files in those folders can be read by anybody, because containers run as
users that this machine does not know; the parent folder, mode 0700, is what keeps other people of this machine out.

    python -m scenarios.worlds.compose_secrets      what `make secrets` runs
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from settlement.topology import REGISTRY_SERVICE, SERVICES

PROJECT_DIRECTORY: Final = Path(__file__).parents[2]
DEFAULT_FOLDER: Final = PROJECT_DIRECTORY / ".secrets"
DEFAULT_PROJECT: Final = "paylab"
# Of the temporary folders that runs keep theirs in; followed by the mark of the lab (see `owner`).
FOLDER_PREFIX: Final = "paylab-secrets-"
SOURCE: Final = "secrets.json"
LAB_USER: Final = "lab"
_SHARED: Final = ("service_secret", "jwt_secret", "notify_secret", "operator_token", "fault_token")
_OTHERS: Final = ("database_root", "redis", "grafana", "eureka")
_PRIVATE, _PRIVATE_FOLDER, _MOUNTED, _MOUNTED_FOLDER = 0o600, 0o700, 0o444, 0o755


@dataclass(frozen=True)
class ComposeSecrets:
    """What a composed platform is secured with. `database` has a password for each service and for the user `lab`."""

    shared: Mapping[str, str] = field(repr=False)
    others: Mapping[str, str] = field(repr=False)
    database: Mapping[str, str] = field(repr=False)

    @property
    def operator_token(self) -> str:
        """For the operator endpoints (header `Paylab-Operator-Token`)."""
        return self.shared["operator_token"]

    @property
    def fault_token(self) -> str:
        """For the fault endpoints (header `Paylab-Fault-Token`), where they are open."""
        return self.shared["fault_token"]

    @property
    def lab_password(self) -> str:
        """Of the database user `lab`, who reads every schema and writes none."""
        return self.database[LAB_USER]

    @classmethod
    def completed(cls, known: Mapping[str, Mapping[str, str]]) -> Self:
        """What is known, and fresh values for the rest: a service that is new gets its password."""
        return cls(
            shared=_filled(known.get("shared", {}), _SHARED),
            others=_filled(known.get("others", {}), _OTHERS),
            database=_filled(known.get("database", {}), (*SERVICES, LAB_USER)),
        )


def ensure(folder: Path = DEFAULT_FOLDER) -> ComposeSecrets:
    """The secrets kept in `folder`: what is missing is generated, what is there is used again. Raises OSError."""
    folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    folder.chmod(_PRIVATE_FOLDER)
    source = folder / SOURCE
    known = json.loads(source.read_text(encoding="utf-8")) if source.exists() else {}
    made = ComposeSecrets.completed(known)
    document = {"shared": made.shared, "others": made.others, "database": made.database}
    _write(source, json.dumps(document, indent=2) + "\n", _PRIVATE)
    for name, files in _mounts(made).items():
        _hand_out(folder / name, files)
    return made


def known(folder: Path) -> ComposeSecrets:
    """The secrets kept in `folder`. Raises OSError or ValueError if there are none."""
    return ComposeSecrets(**json.loads((folder / SOURCE).read_text(encoding="utf-8")))


def announce(folder: Path = DEFAULT_FOLDER, directory: Path = PROJECT_DIRECTORY) -> Path:
    """Tell Compose in `.env` where the secrets are, so that `docker compose up` typed by hand finds them.

    Lines of others in the file stay as they are. The file holds no secret.
    """
    path = directory / ".env"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    shown = f"./{folder.relative_to(directory)}" if folder.is_relative_to(directory) else str(folder)
    wanted = {"PAYLAB_SECRETS": shown, "COMPOSE_PROJECT_NAME": DEFAULT_PROJECT}
    present = {line.partition("=")[0] for line in lines}
    lines = [f"PAYLAB_SECRETS={shown}" if line.startswith("PAYLAB_SECRETS=") else line for line in lines]
    lines += [f"{name}={value}" for name, value in wanted.items() if name not in present]
    _write(path, "\n".join(lines) + "\n", _PRIVATE)
    return path


def remove(folder: Path = DEFAULT_FOLDER) -> None:
    """Delete the secrets. The databases made with them are lost with them."""
    shutil.rmtree(folder, ignore_errors=True)


def _mounts(made: ComposeSecrets) -> dict[str, dict[str, str]]:
    """Folder -> file -> content."""
    redis, database = made.others["redis"], made.database
    mounts = {
        service: {
            **made.shared,
            "database_url": f"mariadb://{service}:{database[service]}@mariadb:3306/{service}",
            "redis_url": f"redis://:{redis}@redis:6379/0",
        }
        for service in SERVICES
    }
    mounts[REGISTRY_SERVICE]["eureka_token"] = made.others["eureka"]
    users = {f"users/{name}": password for name, password in database.items()}
    mounts["mariadb"] = {"root_password": made.others["database_root"], **users}
    mounts["redis"] = {"password": redis, "password.conf": f"requirepass {redis}\n"}
    mounts["grafana"] = {"admin_password": made.others["grafana"]}
    return mounts


def _hand_out(folder: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        for parent in reversed([each for each in path.parents if each.is_relative_to(folder)]):
            parent.mkdir(exist_ok=True)
            parent.chmod(_MOUNTED_FOLDER)
        _write(path, content, _MOUNTED)


def _filled(known: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {**known, **{name: secrets.token_hex(24) for name in names if name not in known}}


def _write(path: Path, content: str, mode: int) -> None:
    """Whole or not at all, and never readable by more than `mode` says."""
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
    scratch.replace(path)


def main() -> None:
    """Make them and say where they are."""
    ensure()
    sys.stderr.write(f"secrets are in {DEFAULT_FOLDER}; {announce()} tells Compose so\n")


if __name__ == "__main__":
    main()
