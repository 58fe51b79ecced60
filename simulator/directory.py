"""Who is known to serve what: registrations with leases, and the choice among replicas."""

from simulator.hosts import Replica
from simulator.kernel import Kernel

SUSPICION_S = 1.0
"""A replica that refused a connection is passed over for this long, if there is another."""


class Directory:
    """Who is known to serve what. A replica that falls silent stays listed until its registration's lease runs out.

    `silent_since` is when a replica stopped renewing, by its name.
    """

    def __init__(self, kernel: Kernel, lease_s: float, refresh_s: float) -> None:
        self._kernel, self._lease_s, self._refresh_s = kernel, lease_s, refresh_s
        self.registry_down = False
        self._replicas: dict[str, list[Replica]] = {}
        self.silent_since: dict[str, float] = {}
        self._removed: set[str] = set()
        self._turns: dict[tuple[str, str], int] = {}
        self._suspect_until: dict[tuple[str, str], float] = {}

    def listed(self, service: str) -> list[Replica]:
        """Everybody who ever registered for it: always the same list."""
        return self._replicas.setdefault(service, [])

    def register(self, replica: Replica) -> None:
        """The replica serves (again)."""
        self._removed.discard(replica.name)
        self.silent_since.pop(replica.name, None)
        if replica not in self.listed(replica.service):
            # Callers refresh their view now and then; at the start of a run everybody has just done so.
            if self._kernel.now > 0:
                self._kernel.after(self._refresh_s, self._seen, replica)
            else:
                self._seen(replica)

    def _seen(self, replica: Replica) -> None:
        known = self.listed(replica.service)
        if replica in known or replica.name in self._removed:
            return
        if self.registry_down:
            self._kernel.after(self._refresh_s, self._seen, replica)
        else:
            known.append(replica)

    def remove(self, replica: Replica) -> None:
        """The replica takes itself off the registry; callers learn it at once, which is a little too good."""
        self._removed.add(replica.name)
        known = self.listed(replica.service)
        if replica in known:
            known.remove(replica)

    def silent(self, replica: Replica) -> None:
        """The replica no longer renews its registration."""
        self.silent_since.setdefault(replica.name, self._kernel.now)

    def choose(self, source: Replica, service: str, without: tuple[str, ...] = ()) -> Replica | None:
        """The listed replica with the fewest open calls of `source`, in turn among equals; None if there is none."""
        listed = [r for r in self.listed(service) if r.name not in without and self._is_listed(r)]
        if len(listed) <= 1:
            return listed[0] if listed else None
        now_s = self._kernel.now
        trusted = [r for r in listed if self._suspect_until.get((source.name, r.name), 0.0) <= now_s] or listed
        turn = self._turns[source.name, service] = self._turns.get((source.name, service), -1) + 1
        in_turn = trusted[turn % len(trusted) :] + trusted[: turn % len(trusted)]
        return min(in_turn, key=lambda replica: source.outstanding.get(replica, 0))

    def suspect(self, source: Replica, replica: Replica) -> None:
        """`source` was refused by `replica`."""
        self._suspect_until[source.name, replica.name] = self._kernel.now + SUSPICION_S

    def _is_listed(self, replica: Replica) -> bool:
        # Without a registry nobody hears that a lease has run out: the view stays as it was.
        since_s = self.silent_since.get(replica.name)
        return since_s is None or self.registry_down or self._kernel.now < since_s + self._lease_s
