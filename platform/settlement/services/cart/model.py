"""Tables of the cart: the article's columns, and one version a user.

The article's foreign keys to `user` and `goods` cannot exist: those tables are in other services' databases. An unknown
goods is refused when the order is created.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, MetaData, Table, UniqueConstraint

from settlement.chassis.columns import moment, row_id, whole

metadata = MetaData()

cart = Table(
    "cart",
    metadata,
    row_id(),
    whole("user_id"),
    whole("goods_id"),
    Column("count", Integer, CheckConstraint('"count" > 0'), nullable=False),
    moment("created_at_ms"),
    # The version of the user's cart that this line was last changed in. An order names the version it was made from, so
    # that it takes out what it ordered and not what was put there afterwards.
    whole("version"),
    UniqueConstraint("user_id", "goods_id", name="cart_goods_once"),
)

# Every change of a user's cart adds one, in the same transaction: what the cache of any replica is checked against.
cart_versions = Table(
    "cart_versions",
    metadata,
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    whole("version"),
)

VIEWS: dict[str, str] = {}
