"""What `paylab up` leaves for `paylab down`: one small file in the user's state directory, for nobody else to read."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

STATE_MODE = 0o600
FOLDER_MODE = 0o700


@dataclass(frozen=True)
class PlatformState:
    """A platform that is up: its keeper process (pid and birth, since pids are used again), where it listens."""

    pid: int
    born_s: float
    registry: str
    replicas: dict[str, str]
    operator_token: str
    folder: str

    def is_alive(self) -> bool:
        """Whether the very process that wrote this still runs."""
        return birth_s(self.pid) == self.born_s


def birth_s(pid: int) -> float | None:
    """When the process began, in epoch seconds; None if there is none (a zombie is none)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def state_folder() -> Path:
    """`$XDG_STATE_HOME/paylab`, or `~/.local/state/paylab`."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "paylab"


def state_file() -> Path:
    """The file of the platform that is up."""
    return state_folder() / "platform.json"


def write_state(state: PlatformState) -> None:
    """Save it, whole or not at all. Raises OSError."""
    state_folder().mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    scratch = state_file().with_suffix(".new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, STATE_MODE), "w", encoding="utf-8") as file:
        json.dump(asdict(state), file)
    scratch.replace(state_file())


def read_state() -> PlatformState | None:
    """The platform that is up; None if there is none. A file left by a keeper that was killed is removed."""
    try:
        state = PlatformState(**json.loads(state_file().read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        state = None
    if state is None or not state.is_alive():
        clear_state()
        return None
    return state


def clear_state() -> None:
    """Forget the platform."""
    state_file().unlink(missing_ok=True)
