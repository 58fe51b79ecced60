"""An operator's word wins; `automatic` follows the trouble."""

from __future__ import annotations

import pytest

from settlement.policies.degradation import SWITCHES, Mode, is_degraded


@pytest.mark.parametrize(
    ("mode", "in_trouble", "degraded"),
    [
        (Mode.AUTOMATIC, False, False),
        (Mode.AUTOMATIC, True, True),
        (Mode.ALWAYS, False, True),
        (Mode.NEVER, True, False),
    ],
)
def test_when_the_fallback_is_in_force(mode: Mode, in_trouble: bool, degraded: bool) -> None:
    assert is_degraded(mode, in_trouble=in_trouble) is degraded


def test_every_switch_says_what_happens_instead() -> None:
    assert all(switch.fallback.endswith(".") and switch.setting.startswith("degrade.") for switch in SWITCHES.values())
