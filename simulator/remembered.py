"""Answers from memory: lists of carts by their version, and the catalogue's last list, in the shipped `RequestCache`.

A cart's list counts only for the version that it was read at, which every look-up asks the database for; a hit spares
reading and rendering the list. The list of goods is read every time, unless the switch `degrade.goods_list` says that
the last one will do. Each replica remembers for itself, for one life of its process.
"""

from collections.abc import Callable, Mapping

from settlement.policies.degradation import Mode, is_degraded
from settlement.policies.request_cache import RequestCache
from simulator.inputs import SimulationInput
from simulator.kernel import Kernel

CARTS_MAX = 10_000
LIST_STALE_MS = 30_000.0
"""How old a list of goods may be that is served again."""

MEASURED_AS_HIT = {("cart", "GET /cart"): True, ("cart", "GET /internal/carts/{user_id}"): False,
                   ("order", "GET /goods"): False}  # fmt: skip
"""Reads that may be answered from memory: whether a calibration, which plays them alone, measures a hit or a miss."""


class CartLists:
    """What one replica of the cart remembers; `versions` of all carts are in the database."""

    def __init__(self, kernel: Kernel, plan: SimulationInput, versions: Mapping[int, int]) -> None:
        self._kernel, self._versions = kernel, versions
        self._never = is_degraded(Mode(plan.setting("degrade.cart_cache")), in_trouble=False)
        self._lists: RequestCache[int] = RequestCache(CARTS_MAX, float(plan.setting("cart.cache_ttl_ms")))

    def recalls(self, user_id: int) -> bool:
        """Whether this cart's list is known; if not, it is from now on."""
        if self._never:
            return False
        key, version, now_ms = str(user_id), self._versions.get(user_id, 0), self._kernel.now * 1000
        if self._lists.fresh(key, now_ms) == version:
            return True
        self._lists.put(key, version, now_ms)
        return False


class GoodsList:
    """The last list of goods that one replica of the order service made; `overloaded` tells of that replica."""

    def __init__(self, kernel: Kernel, plan: SimulationInput, overloaded: Callable[[float], bool]) -> None:
        self._kernel, self._overloaded = kernel, overloaded
        self._switch = Mode(plan.setting("degrade.goods_list"))
        self._last: RequestCache[bool] = RequestCache(1, LIST_STALE_MS)

    def recalls(self) -> bool:
        """Whether the last list is served again; if not, it is made anew."""
        now_s = self._kernel.now
        known = is_degraded(self._switch, in_trouble=self._overloaded(now_s)) and self._last.fresh("", now_s * 1000)
        if not known:
            self._last.put("", True, now_s * 1000)
        return bool(known)
