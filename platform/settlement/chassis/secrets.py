"""The shared secrets of the platform, read from the environment; a missing one stops the process before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from settlement.chassis.keys import BadKeys, KeyRing

_REQUIRED: Final = {
    "service": "PAYLAB_SERVICE_SECRET",
    "jwt": "PAYLAB_JWT_SECRET",
    "operator": "PAYLAB_OPERATOR_TOKEN",
    "notify": "PAYLAB_NOTIFY_SECRET",
}
_OPTIONAL: Final = {"fault": "PAYLAB_FAULT_TOKEN", "eureka": "PAYLAB_EUREKA_TOKEN"}
SECRET_LENGTH_MIN: Final = 16


class MissingSecrets(Exception):
    """Secrets that are absent or too short; `problems` has one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Secrets:
    """`service` signs calls between services, `notify` the callbacks to merchants; `jwt` is a ring of keys (`KeyRing`).

    `operator` and `fault` are bearer tokens; without `fault` the fault endpoints do not exist. `eureka` is the password
    of Eureka clients, which can do nothing but register; without it the operator's token is their only password.
    """

    service: str = field(repr=False)
    jwt: str = field(repr=False)
    operator: str = field(repr=False)
    notify: str = field(repr=False)
    fault: str | None = field(default=None, repr=False)
    eureka: str | None = field(default=None, repr=False)


def secrets_from(environment: Mapping[str, str]) -> Secrets:
    """Read the secrets. Raises MissingSecrets naming every variable that is absent or too short."""
    problems = [
        f"{variable} is {'not set' if not environment.get(variable) else 'too short'} "
        f"(at least {SECRET_LENGTH_MIN} characters)"
        for variable in _REQUIRED.values()
        if len(environment.get(variable, "")) < SECRET_LENGTH_MIN
    ]
    if len(environment.get(_REQUIRED["jwt"], "")) >= SECRET_LENGTH_MIN:
        problems += _key_problems(environment[_REQUIRED["jwt"]])
    problems += [
        f"{variable} is too short (at least {SECRET_LENGTH_MIN} characters)"
        for variable in _OPTIONAL.values()
        if 0 < len(environment.get(variable, "")) < SECRET_LENGTH_MIN
    ]
    if problems:
        raise MissingSecrets(problems)
    required = {name: environment[variable] for name, variable in _REQUIRED.items()}
    fault, eureka = (environment.get(variable) or None for variable in _OPTIONAL.values())
    return Secrets(**required, fault=fault, eureka=eureka)


def _key_problems(text: str) -> list[str]:
    try:
        KeyRing.parse(text)
    except BadKeys as error:
        return [f"{_REQUIRED['jwt']}: {problem}" for problem in error.problems]
    return []
