"""Client-side lookup: which address serves a service now.

Keeps the last answer while the registry is down, and for a while when it knows nobody of a service any more.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from settlement.policies.balancer import WEIGHT, LeastLoaded
from settlement.policies.lapse import LastKnown

FETCH_TIMEOUT_S = 1.0
# A replica that refused a connection is passed over for this long, if there is another.
SUSPICION_S = 1.0
REFRESH_INTERVAL_MIN_S = 0.2


class NotARegistry(Exception):
    """The address answers, or does not, but not as a service registry does; the message names it and says what came."""


@dataclass(frozen=True)
class Replica:
    """One replica and where it listens, like `gateway-0` at `http://127.0.0.1:41234`."""

    name: str
    address: str
    weight: int = WEIGHT


def fetch(registry_url: str) -> dict[str, list[Replica]]:
    """All replicas by service. Raises NotARegistry with the reason."""
    url = f"{registry_url.rstrip('/')}/registry"
    try:
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310 - the operator's own address
            return parse(json.load(answer))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotARegistry(
            f"{registry_url} is not a paylab registry: GET {url} gave {error!r}. "
            "The host must be the config center's address, as `paylab up` prints it."
        ) from error


def parse(document: Any) -> dict[str, list[Replica]]:
    """The document's replicas that are up, by service; KeyError, TypeError or AttributeError if it is none."""
    return {
        service: [
            Replica(str(entry["replica"]), _with_scheme(str(entry["address"])), int(entry.get("weight", WEIGHT)))
            for entry in entries
            if entry.get("status", "UP") == "UP"
        ]
        for service, entries in document["services"].items()
    }


def _with_scheme(address: str) -> str:
    return address.rstrip("/") if "://" in address else f"http://{address}"


class Registry:
    """A cached registry, balanced by weight; `refresh` asks again, `suspect` passes a replica over for a while."""

    def __init__(
        self, source: Callable[[], dict[str, list[Replica]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._clock = clock
        self._last_known: LastKnown[Replica] = LastKnown()
        self._services = self._last_known.after(source(), clock() * 1_000)
        self._turns = LeastLoaded()
        self._suspects: dict[str, float] = {}
        self._refreshed_s = clock()
        self._refreshing = False

    def resolve(self, service: str) -> Replica | None:
        """The next replica of `service`, in turns that follow the weights, or None if the registry knows none."""
        replicas = self._services.get(service, ())
        if not replicas:
            return None
        now_s = self._clock()
        trusted = [replica for replica in replicas if self._suspects.get(replica.address, now_s) <= now_s] or replicas
        if len(trusted) == 1:
            return trusted[0]
        by_address = {replica.address: replica for replica in trusted}
        weights = {address: replica.weight for address, replica in by_address.items()}
        return by_address[self._turns.pick(list(by_address), weights)]

    def suspect(self, replica: Replica) -> None:
        """Note that a replica refused or broke a connection."""
        self._suspects[replica.address] = self._clock() + SUSPICION_S

    def refresh(self) -> None:
        """Ask the registry again, unless somebody did just now; without an answer the old list stays in use."""
        if self._refreshing or self._clock() - self._refreshed_s < REFRESH_INTERVAL_MIN_S:
            return
        self._refreshing = True
        try:
            self._services = self._last_known.after(self._source(), self._clock() * 1_000)
            self._turns.forget({replica.address for replicas in self._services.values() for replica in replicas})
        except NotARegistry:
            pass
        finally:
            self._refreshing = False
            self._refreshed_s = self._clock()
