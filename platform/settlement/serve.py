"""Start the services of one process.

    python -m settlement.serve --service gateway --replica gateway-0 --registry http://127.0.0.1:8761 --data DIR

`--service` may repeat: several services, each with its own port, then share the process (the merged topology).
Secrets, PAYLAB_DATABASE_URL and PAYLAB_REDIS_URL come from the environment, or from files (`PAYLAB_..._FILE`).
PAYLAB_TRACE_ENDPOINT (OTLP over HTTP) and PAYLAB_TRACE_FILE (JSON lines) say where spans go; without them, nowhere.
Exit codes: 0 after an orderly stop (SIGTERM, SIGINT, or the end of standard input when it is a pipe), 2 for wrong
arguments or environment, 3 when a port is busy or the data folder cannot be used.
"""

from __future__ import annotations

import gc

# Importing makes many objects and no garbage; looking for it all the same is a tenth of a start.
gc.disable()

import argparse
import json
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from settlement.chassis.environment import (
    DATABASE_URL,
    REDIS_URL,
    TRACE_ENDPOINT,
    TRACE_FILE,
    BadEnvironment,
    with_files,
)
from settlement.chassis.process import LOOPBACK, Backends, Listening, Process, ReplicaArguments, StartFailed
from settlement.chassis.secrets import MissingSecrets, Secrets, secrets_from
from settlement.chassis.tracing import TraceTargets
from settlement.policies.balancer import WEIGHT, WEIGHT_MAX
from settlement.settings import PROFILES, validate
from settlement.topology import REGISTRY_SERVICE, SERVICES, VERSION, replica_name

gc.enable()

BAD_INPUT: Final = 2
CANNOT_START: Final = 3
EVERY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - compared with, never a default
HOST_NAME_LENGTH_MAX: Final = 24
VERSION_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,31}")


@dataclass(frozen=True)
class Arguments:
    """The command line, checked: one entry per service, in starting order."""

    replicas: tuple[ReplicaArguments, ...]
    registry: str | None
    data: Path
    profile: str
    die_with_parent: bool
    listening: Listening
    version: str
    weight: int


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m settlement.serve", description=__doc__.splitlines()[0])
    parser.add_argument("--service", action="append", required=True, choices=sorted(SERVICES), help="may repeat")
    parser.add_argument(
        "--replica",
        action="append",
        default=[],
        help="default: SERVICE-0 on loopback, else SERVICE-HOSTNAME; in the order of --service",
    )
    parser.add_argument(
        "--port",
        action="append",
        default=[],
        type=int,
        help="default: any free one on loopback, else the service's own",
    )
    parser.add_argument("--registry", help="URL of the config center; may be left out when it runs in this process")
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on; 0.0.0.0: every one (default: loopback)")
    parser.add_argument("--advertise", help="name or address by which others reach this process (default: --host)")
    parser.add_argument("--data", required=True, type=Path, help="folder of the databases")
    parser.add_argument(
        "--profile", choices=PROFILES, help="which profile of the settings to follow; default: $PAYLAB_PROFILE or dev"
    )
    parser.add_argument("--version", help=f"version to register, for canaries; default: $PAYLAB_VERSION or {VERSION}")
    parser.add_argument("--weight", help=f"share of the calls; default: $PAYLAB_WEIGHT or {WEIGHT}, 0 for none")
    parser.add_argument("--die-with-parent", action="store_true", help="be killed when the parent process dies (Linux)")
    return parser


def parse(arguments: Sequence[str] | None = None) -> Arguments:
    """Read the command line; exits with 2 and a message if it is wrong."""
    parser = _parser()
    found = parser.parse_args(arguments)
    services: list[str] = found.service
    if len(set(services)) < len(services):
        parser.error("a service can be in a process only once")
    if len(found.replica) > len(services) or len(found.port) > len(services):
        parser.error("more --replica or --port than --service")
    if found.registry is None and REGISTRY_SERVICE not in services:
        parser.error(f"--registry is needed unless {REGISTRY_SERVICE} runs in this process")
    listening = _listening(parser, found.host, found.advertise)
    names = found.replica + [_default_name(service, listening) for service in services[len(found.replica) :]]
    ports = found.port + [_default_port(service, listening) for service in services[len(found.port) :]]
    if any(not 0 <= port <= 65_535 for port in ports):
        parser.error("a port is a number from 0 to 65535")
    replicas = [ReplicaArguments(*entry) for entry in zip(services, names, ports, strict=True)]
    replicas.sort(key=lambda entry: entry.service != REGISTRY_SERVICE)
    return Arguments(
        tuple(replicas),
        found.registry,
        found.data,
        found.profile or _profile_of_the_environment(parser),
        found.die_with_parent,
        listening,
        *_announced(parser, found.version, found.weight),
    )


def _profile_of_the_environment(parser: argparse.ArgumentParser) -> str:
    profile = os.environ.get("PAYLAB_PROFILE") or PROFILES[0]
    if profile not in PROFILES:
        parser.error(f"PAYLAB_PROFILE is {profile!r}; expected one of {', '.join(PROFILES)}")
    return profile


def _announced(parser: argparse.ArgumentParser, version: str | None, weight: str | None) -> tuple[str, int]:
    """Version and weight to register; the command line goes before the environment."""
    version = version or os.environ.get("PAYLAB_VERSION") or VERSION
    weight = weight or os.environ.get("PAYLAB_WEIGHT") or str(WEIGHT)
    if not VERSION_FORM.fullmatch(version):
        parser.error(f"{version!r} is not a version: letters, digits and . _ + -, at most 32")
    if not (weight.isascii() and weight.isdigit() and len(weight) <= 4 and int(weight) <= WEIGHT_MAX):
        parser.error(f"a weight is a whole number from 0 to {WEIGHT_MAX}, not {weight!r}")
    return version, int(weight)


def _listening(parser: argparse.ArgumentParser, host: str, advertised: str | None) -> Listening:
    if advertised is None and host == EVERY_ADDRESS:
        advertised = _own_address()
        if advertised is None:
            parser.error("this machine's name leads to no address that others could use; give one by --advertise")
    return Listening(host, advertised or host)


def _own_address() -> str | None:
    """What this machine's name resolves to: in a container, its address in the containers' network."""
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        return None
    return None if address.startswith("127.") else address


def _default_name(service: str, listening: Listening) -> str:
    # Containers of one service are told apart by their host names; on one machine the one who starts them numbers them.
    if listening.host == LOOPBACK:
        return replica_name(service, 0)
    return f"{service}-{socket.gethostname().lower()[:HOST_NAME_LENGTH_MAX]}"


def _default_port(service: str, listening: Listening) -> int:
    return 0 if listening.host == LOOPBACK else SERVICES[service].port


def _fail(code: int, *lines: str) -> NoReturn:
    for line in lines:
        sys.stderr.write(f"paylab: {line}\n")
    sys.exit(code)


def _environment() -> dict[str, str]:
    try:
        return with_files(os.environ)
    except BadEnvironment as error:
        _fail(BAD_INPUT, *error.problems)


def _backends(environment: Mapping[str, str], services: int) -> Backends:
    database_url = environment.get(DATABASE_URL) or None
    if database_url is not None and services > 1:
        _fail(
            BAD_INPUT, f"{DATABASE_URL} is one service's own schema; {services} services in a process cannot share it"
        )
    return Backends(database_url, environment.get(REDIS_URL) or None)


def _traces(environment: Mapping[str, str]) -> TraceTargets:
    file = environment.get(TRACE_FILE)
    targets = TraceTargets(environment.get(TRACE_ENDPOINT) or None, Path(file) if file else None)
    problems = targets.problems()
    if problems:
        _fail(BAD_INPUT, *problems)
    return targets


def _secrets(environment: Mapping[str, str]) -> Secrets:
    try:
        return secrets_from(environment)
    except MissingSecrets as error:
        _fail(BAD_INPUT, *error.problems)


def _initial_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    text = environment.get("PAYLAB_CONFIG") or "{}"
    try:
        values = json.loads(text)
    except ValueError as error:
        _fail(BAD_INPUT, f"PAYLAB_CONFIG is not JSON: {error}")
    if not isinstance(values, dict):
        _fail(BAD_INPUT, "PAYLAB_CONFIG is not a JSON object of settings")
    problems = validate(values)
    if problems:
        _fail(BAD_INPUT, *(f"PAYLAB_CONFIG: {problem}" for problem in problems))
    return values


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until told to stop; exits the process."""
    given = parse(arguments)
    environment = _environment()
    secrets = _secrets(environment)
    settings = _initial_settings(environment)
    backends = _backends(environment, len(given.replicas))
    traces = _traces(environment)
    try:
        given.data.mkdir(parents=True, exist_ok=True)
        process = Process(
            given.replicas,
            given.registry,
            given.data,
            given.profile,
            secrets,
            settings,
            listening=given.listening,
            backends=backends,
            version=given.version,
            weight=given.weight,
            traces=traces,
        )
        gc.freeze()  # what was imported stays, and is never looked through again
        process.run(given.die_with_parent)
    except StartFailed as error:
        _fail(CANNOT_START, str(error))
    except OSError as error:
        _fail(CANNOT_START, f"cannot use the data folder {given.data}: {error.strerror or error}")


if __name__ == "__main__":
    main()
