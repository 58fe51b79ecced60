"""Tables of the config center: registrations and config versions.

A registration is written when it appears, changes or goes; renewals stay in memory, for a lost renewal costs nothing.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from settlement.chassis.columns import moment, word
from settlement.chassis.retention import Retention

metadata: Final = sa.MetaData()

registrations: Final = sa.Table(
    "registrations",
    metadata,
    sa.Column("service", sa.String(64), primary_key=True),
    sa.Column("replica", sa.String(200), primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
    moment("registered_at_ms"),
)

config_versions: Final = sa.Table(
    "config_versions",
    metadata,
    sa.Column("profile", sa.String(32), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("document", sa.Text, nullable=False),
    word("author", 64),
    word("comment", 500),
    # The version that a roll back brought back; null for one that was written.
    sa.Column("restored_from", sa.Integer, nullable=True),
    moment("created_at_ms"),
)

VIEWS: Final[dict[str, str]] = {}


def _replaced(before_ms: int) -> sa.ColumnElement[bool]:
    """Whether a version is old and another one is in force."""
    newer = config_versions.alias("newer")
    follows = sa.and_(newer.c.profile == config_versions.c.profile, newer.c.version > config_versions.c.version)
    return sa.and_(config_versions.c.created_at_ms < before_ms, sa.select(newer.c.version).where(follows).exists())


RETENTION: Final = (Retention(config_versions, "configcenter.history_kept_days", _replaced),)
