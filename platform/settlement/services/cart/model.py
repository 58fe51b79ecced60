"""Tables of the cart: the article's columns, and one version a user.

The article's foreign keys to `user` and `goods` cannot exist: those tables are in other services' databases. An unknown
goods is refused when the order is created.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, MetaData, Table, UniqueConstraint

metadata = MetaData()

# SQLite numbers rows by itself only for a column declared exactly INTEGER.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")

cart = Table(
    "cart",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("user_id", BigInteger, nullable=False),
    Column("goods_id", BigInteger, nullable=False),
    Column("count", Integer, CheckConstraint('"count" > 0'), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    # The version of the user's cart that this line was last changed in. An order names the version it was made from, so
    # that it takes out what it ordered and not what was put there afterwards.
    Column("version", BigInteger, nullable=False),
    UniqueConstraint("user_id", "goods_id", name="cart_goods_once"),
)

# Every change of a user's cart adds one, in the same transaction: what the cache of any replica is checked against.
cart_versions = Table(
    "cart_versions",
    metadata,
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

VIEWS: dict[str, str] = {}
