"""The names of the accounts; see the package's docstring for what they mean."""

from __future__ import annotations

from typing import Final

MERCHANT: Final = "merchant:settlement"
GRANTS: Final = "equity:grants"
CHANNEL_CARD: Final = "channel:card"
CHANNEL_WALLET: Final = "channel:wallet"
FEES: Final = "income:fees"

_USER_PREFIX: Final = "user:"


def user_account(user_id: int) -> str:
    """The account of one customer."""
    return f"{_USER_PREFIX}{user_id}"


def merchant_payable(merchant_id: str) -> str:
    """The account of what one merchant is to be paid."""
    return f"merchant:payable:{merchant_id}"


def is_user_account(account: str) -> bool:
    """Whether the account belongs to a customer, who may not spend more than there is."""
    return account.startswith(_USER_PREFIX)


def source_of(method: str, user_id: int) -> str:
    """The account that a payment by this method (card, wallet, balance) takes its money from.

    Raises ValueError for any other method.
    """
    if method == "balance":
        return user_account(user_id)
    if method == "card":
        return CHANNEL_CARD
    if method == "wallet":
        return CHANNEL_WALLET
    raise ValueError(f"no such payment method: {method!r}")
