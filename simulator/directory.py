"""The config center's list: registrations with leases. Callers have views of it, which are always a little old.

A replica that falls silent stays listed until its lease has run out, counted from its last renewal; while many are
silent at once nobody is dropped (the shipped `settlement.policies.preservation`). A registry that hears nobody drops
nobody either, and gives everybody a whole lease when it hears again.
"""

from collections.abc import Mapping
from typing import Protocol

from settlement.policies.preservation import preserves, silent_origins
from simulator.inputs import SimulationInput
from simulator.kernel import Kernel
from simulator.replica import Replica

EXPIRY_INTERVAL_S = 0.1
"""How often the registry looks again at a lease that has ended and is kept."""


class Listener(Protocol):
    """Whoever looks at the list now and then."""

    def look_soon(self) -> None:
        """There is something new to see."""
        ...


class Directory:
    """Who is registered, by service (`listed`)."""

    def __init__(self, kernel: Kernel, plan: SimulationInput) -> None:
        self._kernel = kernel
        self._lease_s, self._renew_s = plan.setting_s("registry.lease_ms"), plan.setting_s("registry.renew_interval_ms")
        self._share_min = float(plan.setting("registry.preservation_share"))
        self._silent_min = int(plan.setting("registry.preservation_silent_min"))
        self._silence_s = float(plan.setting("registry.preservation_silence_share")) * self._lease_s
        self._kept_s_max = plan.setting_s("registry.preservation_max_ms")
        self._hears = True
        self._registered: dict[str, dict[Replica, float]] = {}
        self._lease_ends_s: dict[Replica, float] = {}
        self._unheard: list[Replica] = []
        self._listeners: dict[str, Listener] = {}

    @property
    def listed(self) -> Mapping[str, tuple[Replica, ...]]:
        """The registry's answer."""
        return {service: tuple(replicas) for service, replicas in self._registered.items()}

    @property
    def hears(self) -> bool:
        """Whether the registry is there."""
        return self._hears

    def now_hears(self, hears: bool) -> None:
        """The registry is gone, or back."""
        if hears and not self._hears:
            self._hears = True
            for replica in list(self._lease_ends_s):
                self._lease_ends(replica, self._kernel.now + self._lease_s)
            unheard, self._unheard = self._unheard, []
            for replica in unheard:
                self.register(replica)
            self._changed()
        self._hears = hears

    def listen(self, name: str, listener: Listener) -> None:
        """Tell this listener of changes from now on, instead of an earlier one of the same name."""
        self._listeners[name] = listener

    def register(self, replica: Replica) -> None:
        """The replica serves (again), and renews its lease from now on."""
        if not self._hears:
            self._unheard.append(replica)  # it tries until it is heard
            return
        self._lease_ends_s.pop(replica, None)
        known = self._registered.setdefault(replica.service, {})
        is_new = replica not in known
        known[replica] = self._kernel.now
        if is_new:
            self._changed()

    def remove(self, replica: Replica) -> None:
        """The replica takes itself off the list."""
        self._lease_ends_s.pop(replica, None)
        if self._registered.get(replica.service, {}).pop(replica, None) is not None:
            self._changed()

    def silent(self, replica: Replica) -> None:
        """The replica no longer renews its lease."""
        if replica in self._unheard:
            self._unheard.remove(replica)
        since_s = self._registered.get(replica.service, {}).get(replica)
        if since_s is not None and replica not in self._lease_ends_s:
            now_s = self._kernel.now
            self._lease_ends(replica, now_s - (now_s - since_s) % self._renew_s + self._lease_s)

    def _lease_ends(self, replica: Replica, at_s: float) -> None:
        self._lease_ends_s[replica] = at_s
        self._kernel.at(max(at_s, self._kernel.now), self._ended, replica, at_s)

    def _ended(self, replica: Replica, ends_s: float) -> None:
        if self._lease_ends_s.get(replica) != ends_s or not self._hears:
            return
        if self._kernel.now - ends_s < self._kept_s_max and self._preserves():
            self._kernel.after(EXPIRY_INTERVAL_S, self._ended, replica, ends_s)
        else:
            self.remove(replica)

    def _preserves(self) -> bool:
        everybody = [replica for replicas in self._registered.values() for replica in replicas]
        origins = silent_origins((replica.process.name, self._is_silent(replica)) for replica in everybody)
        return preserves(sum(origins.values()), len(origins), self._share_min, self._silent_min)

    def _is_silent(self, replica: Replica) -> bool:
        ends_s = self._lease_ends_s.get(replica)
        return ends_s is not None and self._kernel.now - (ends_s - self._lease_s) > self._silence_s

    def _changed(self) -> None:
        for listener in self._listeners.values():
            listener.look_soon()
