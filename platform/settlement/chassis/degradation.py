"""Which fallbacks are in force in this replica: `policies/degradation.py` with the settings and troubles of now.

if chassis.degradation.active("risk"):
    ...the fallback...
"""

from __future__ import annotations

from functools import partial
from typing import Final

from prometheus_client import Gauge

from settlement.chassis.admission import Admission
from settlement.chassis.breakers import Breakers
from settlement.chassis.live_settings import LiveSettings
from settlement.chassis.metrics import Metrics
from settlement.policies.degradation import SWITCHES, THIS_REPLICA, Mode, Switch, is_degraded

FEATURES: Final = tuple(SWITCHES)


class Degradation:
    """The switches of one replica."""

    def __init__(self, settings: LiveSettings, breakers: Breakers, admission: Admission, metrics: Metrics) -> None:
        self._settings = settings
        self._breakers = breakers
        self._admission = admission
        gauge = Gauge("paylab_degraded", "Whether a fallback is in force", ["feature"], registry=metrics.registry)
        for feature in FEATURES:
            gauge.labels(feature).set_function(partial(self.active, feature))

    def active(self, feature: str) -> bool:
        """Whether this feature's fallback is in force. Raises KeyError for an unknown feature."""
        switch = SWITCHES[feature]
        return is_degraded(Mode(self._settings.text(switch.setting)), in_trouble=self._in_trouble(switch))

    def _in_trouble(self, switch: Switch) -> bool:
        if switch.depends_on == THIS_REPLICA:
            return self._admission.overloaded
        return self._breakers.is_open(switch.depends_on)
