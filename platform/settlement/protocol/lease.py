"""Leases with fencing: who may drive a transaction, and how another replica takes over when its driver fell silent.

A lease alone is not safe: a replica that was paused past its lease still believes that it holds it. The epoch is the
fencing token: every take-over raises it, and every durable step is a compare-and-set on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from settlement.values import unguarded


class LeaseHeldError(Exception):
    """The lease has not run out yet."""


@unguarded
@dataclass(frozen=True, slots=True)
class Lease:
    """`owner` may drive the transaction until `until_ms` (the storage's clock); `epoch` is its fencing token."""

    owner: str
    epoch: int
    until_ms: int

    def is_lapsed(self, now_ms: int) -> bool:
        """Whether somebody else may claim it."""
        return now_ms >= self.until_ms


def grant(owner: str, now_ms: int, duration_ms: int) -> Lease:
    """The first lease of a new transaction, epoch 1."""
    return Lease(owner, 1, now_ms + duration_ms)


def renew(lease: Lease, now_ms: int, duration_ms: int) -> Lease:
    """The same owner and epoch for longer. Safe even if it lapsed: nobody claimed it while the epoch stands."""
    return Lease(lease.owner, lease.epoch, now_ms + duration_ms)


def claim(lease: Lease, owner: str, now_ms: int, duration_ms: int) -> Lease:
    """Take a lapsed lease over, one epoch up.

    Raises:
        LeaseHeldError: it has not lapsed.
    """
    if not lease.is_lapsed(now_ms):
        raise LeaseHeldError(f"{lease.owner} holds epoch {lease.epoch} for {lease.until_ms - now_ms} ms more")
    return Lease(owner, lease.epoch + 1, now_ms + duration_ms)
