"""Many silences at once are preserved; a crash in a small platform is not."""

from __future__ import annotations

import pytest

from settlement.policies.preservation import preserves, silent_origins


@pytest.mark.parametrize(
    ("silent", "total", "preserved"),
    [
        (0, 0, False),
        (0, 7, False),
        (1, 3, False),  # a third, but one crash is one crash
        (1, 1, False),
        (2, 2, False),
        (3, 7, True),
        (7, 7, True),
        (3, 20, False),  # 85 % are heard: exactly enough
        (3, 19, True),
        (15, 100, False),
        (16, 100, True),
    ],
)
def test_a_number_and_a_share_must_be_reached(silent: int, total: int, preserved: bool) -> None:
    assert preserves(silent, total, share_min=0.85, silent_min=3) is preserved


def test_a_process_is_silent_when_all_its_leases_are_and_counts_once() -> None:
    leases = [("shared", True), ("shared", True), ("busy", True), ("busy", False), ("fine", False)]
    assert silent_origins(leases) == {"shared": True, "busy": False, "fine": False}
