"""Tables of the user center: the article's `user` with its columns, captchas, failed attempts.

Hardened against the article: `passwd` is an argon2id hash with its parameters (the article has 32 characters, an
MD5), `salt` the 16 random bytes that went into it, in hex; phone and email are unique and never null.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from settlement.chassis.columns import moment, number, word

metadata: Final = sa.MetaData()

users: Final = sa.Table(
    "user",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    word("name", 50),
    word("phone", 20),
    word("email", 254),
    word("passwd", 128),
    word("salt", 32),
    moment("created_at_ms"),
    moment("updated_at_ms"),
    sa.UniqueConstraint("phone", name="unique_phone"),
    sa.UniqueConstraint("email", name="unique_email"),
    sqlite_autoincrement=True,  # the id of a deleted user must never come to mean somebody else
)

captchas: Final = sa.Table(
    "captcha",
    metadata,
    sa.Column("captcha_id", sa.String(32), primary_key=True),
    number("answer"),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=False, index=True),
)

# Failed attempts by account and by address, both as hashes; see `throttle`.
failures: Final = sa.Table(
    "failed_attempts",
    metadata,
    sa.Column("subject", sa.String(64), primary_key=True),
    number("failures"),
    moment("not_before_ms"),
    sa.Column("last_at_ms", sa.BigInteger, nullable=False, index=True),
)

VIEWS: Final[dict[str, str]] = {}
