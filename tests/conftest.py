"""For all tests: hypothesis does not judge how fast a machine is that others share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("shared_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared_machine")
