"""Keeps a platform up, alone and without faults, until it is told to stop: what `paylab up` runs.

In the foreground it is the command itself; with `--detach` it is this module as a process of its own. Either way the
state file says where the platform is, so that `paylab down` can stop it from anywhere. A service that dies is started
again, a few times: someone may be killing services to see what happens.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scenarios.interrupts import raise_on_signals
from scenarios.plan import PlatformPlan
from scenarios.state import PlatformState, birth_s, clear_state, read_state, state_folder, write_state
from scenarios.worlds.base import WorldError

POLL_INTERVAL_S = 0.2
RESTARTS_MAX = 5
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
KEEPER_LOG = "keeper.log"
FOLDERS_KEPT = 5


def keep(
    plan: PlatformPlan, port: int, folder: Path, on_ready: Callable[[PlatformState], None], say: Callable[[str], None]
) -> None:
    """Start the platform and keep it up until KeyboardInterrupt, which is passed on once everything has ended.

    Raises WorldError if it does not start or a service keeps dying.
    """
    from scenarios.worlds.processes import Platform  # late: heavy, and not needed by `paylab down`

    logs, databases = folder / "logs", folder / "databases"
    logs.mkdir(parents=True, exist_ok=True)
    databases.mkdir(exist_ok=True)
    platform = Platform(
        logs=logs,
        databases=databases,
        topology=plan.topology,
        replicas=plan.replicas,
        profile_settings=plan.settings,
        port=port,
    )
    with platform:
        addresses = platform.addresses
        born_s = birth_s(os.getpid()) or 0.0
        state = PlatformState(
            os.getpid(), born_s, addresses.registry, dict(addresses.replicas), platform.operator_token, str(folder)
        )
        write_state(state)
        try:
            on_ready(state)
            _watch(platform, say)
        finally:
            clear_state()


def _watch(platform: Any, say: Callable[[str], None]) -> None:
    restarts: Counter[str] = Counter()
    while True:
        for death in platform.deaths():
            restarts[death.name] += 1
            if restarts[death.name] > RESTARTS_MAX:
                raise WorldError(f"{death.name} died more than {RESTARTS_MAX} times; stopping", death.log)
            say(f"{death.name} died (status {death.status}) and is started again; its log: {death.log}")
            platform.restart(death.replicas[0])
        platform.refresh()
        time.sleep(POLL_INTERVAL_S)


def detach(
    plan: PlatformPlan, port: int, folder: Path, program: Sequence[str] = ("-m", "scenarios.keeper")
) -> PlatformState:
    """Start a keeper of its own and wait until the platform is ready. Raises WorldError with what the keeper said."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / KEEPER_LOG
    command = [sys.executable, *program, "--port", str(port), "--folder", str(folder)]
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [*command, "--platform", json.dumps(asdict(plan))],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        return _ready_state(keeper, log)
    except BaseException:
        if keeper.poll() is None:
            keeper.send_signal(signal.SIGTERM)
            keeper.wait(STOP_DEADLINE_S)
        raise


def _ready_state(keeper: "subprocess.Popen[bytes]", log: Path) -> PlatformState:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if keeper.poll() is not None:
            raise WorldError(f"the platform did not start: {log.read_text(encoding='utf-8').strip()}")
        state = read_state()
        if state is not None and state.pid == keeper.pid:
            return state
        time.sleep(POLL_INTERVAL_S)
    raise WorldError(f"the platform is not ready after {START_DEADLINE_S:g} s", log)


def stop(state: PlatformState) -> None:
    """End the keeper and with it the platform. Raises WorldError if it does not end."""
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_DEADLINE_S
    while state.is_alive():
        if time.monotonic() > deadline:
            raise WorldError(f"the platform (process {state.pid}) does not stop", Path(state.folder) / KEEPER_LOG)
        time.sleep(POLL_INTERVAL_S)


def platform_folder() -> Path:
    """A new place for the logs and databases of a platform; of the old ones, the last few are kept."""
    parent = state_folder() / "platforms"
    for old in sorted(parent.glob("*"))[: -(FOLDERS_KEPT - 1)]:
        shutil.rmtree(old, ignore_errors=True)
    return parent / time.strftime("%Y%m%d-%H%M%S", time.gmtime())


def locust_command(registry: str) -> str:
    """The command that points Locust at a platform, to be pasted as it is."""
    spec = find_spec("loadtests")
    package = Path(spec.origin).parent if spec and spec.origin else Path("loadtests")
    file = package / "locustfile.py"
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f"locust -f {shown} --host {registry}"


def main() -> int:
    """The detached keeper. Exit status 0 when it was told to stop, 3 when the platform failed."""
    raise_on_signals()
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--platform", type=json.loads, required=True)
    options = parser.parse_args()

    def say(text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    try:
        keep(PlatformPlan(**options.platform), options.port, options.folder, lambda state: None, say)
    except KeyboardInterrupt:
        return 0
    except (WorldError, OSError) as error:
        say(str(error))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
