"""Leases: who may drive, who may take over, and why the epoch matters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.protocol.lease import LeaseHeldError, claim, grant, renew


def test_a_lease_is_taken_over_only_after_it_lapsed() -> None:
    lease = grant("gateway-0", now_ms=1_000, duration_ms=3_000)
    with pytest.raises(LeaseHeldError, match="gateway-0 holds epoch 1 for 1 ms"):
        claim(lease, "gateway-1", 3_999, 3_000)
    taken = claim(lease, "gateway-1", 4_000, 3_000)
    assert (taken.owner, taken.epoch, taken.until_ms) == ("gateway-1", 2, 7_000)


def test_renewing_keeps_the_epoch() -> None:
    assert renew(grant("gateway-0", 0, 10), 50, 10).epoch == 1


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=30))
def test_epochs_only_rise(moments: list[int]) -> None:
    lease, epochs = grant("a", 0, 100), [1]
    for now_ms in sorted(moments):
        if lease.is_lapsed(now_ms):
            lease = claim(lease, "b", now_ms, 100)
            epochs.append(lease.epoch)
    assert epochs == list(range(1, len(epochs) + 1))
