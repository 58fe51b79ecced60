"""What one caller knows of the registry: a copy that is refreshed now and then, and kept while the registry is away.

Every caller looks once in `refresh_s`, at a moment of its own, and sooner when somebody did not answer. Looking at a
list that has not changed changes nothing, so it costs nothing here: a view wakes up when there is something to see. A
service that suddenly has nobody keeps its last known replicas for a while (the shipped `settlement.policies.lapse`).
"""

import zlib
from collections.abc import Callable
from math import floor

from settlement.policies.lapse import LastKnown
from simulator.directory import Directory
from simulator.kernel import Kernel
from simulator.replica import Replica


class View:
    """The replicas by service as one caller knows them (`known`); `told` hears all their names at every change."""

    def __init__(
        self, kernel: Kernel, directory: Directory, name: str, refresh_s: float, told: Callable[[set[str]], None]
    ) -> None:
        self._kernel, self._directory, self._refresh_s, self._told = kernel, directory, refresh_s, told
        self._phase_s = zlib.crc32(name.encode()) / 2**32 * refresh_s
        self._last_known: LastKnown[Replica] = LastKnown()
        self._waits = False
        self._refreshed_s = float("-inf")
        self.known: dict[str, tuple[Replica, ...]] = {}
        self._named: dict[str, dict[str, Replica]] = {}
        self._take_in()
        directory.listen(name, self)

    def named(self, service: str) -> dict[str, Replica]:
        """The replicas of a service that is known, by name."""
        found = self._named.get(service)
        if found is None:
            found = self._named[service] = {replica.name: replica for replica in self.known[service]}
        return found

    def look_soon(self) -> None:
        """Something has changed: it will be seen at the next refresh."""
        if self._waits:
            return
        self._waits = True
        now_s = self._kernel.now
        rounds = floor((now_s - self._phase_s) / self._refresh_s) + 1
        # At the start of a run everybody has just looked.
        due_s = self._phase_s + rounds * self._refresh_s if now_s > 0 else 0.0
        self._kernel.at(max(due_s, now_s), self._look)

    def refresh(self, pause_s: float) -> None:
        """Look now, because somebody did not answer, unless it was done less than `pause_s` ago."""
        if self._kernel.now - self._refreshed_s >= pause_s:
            self._refreshed_s = self._kernel.now
            if self._directory.hears:
                self._take_in()

    def _look(self) -> None:
        self._waits = False
        if self._directory.hears:  # if not, it tells when it is back
            self._take_in()

    def _take_in(self) -> None:
        heard = self._directory.listed
        known = self._last_known.after(heard, self._kernel.now * 1000)
        if any(not heard.get(service) for service in known):
            self.look_soon()  # until patience has ended
        if known != self.known:
            self.known = known
            self._named.clear()
            self._told({replica.name for replicas in known.values() for replica in replicas})
