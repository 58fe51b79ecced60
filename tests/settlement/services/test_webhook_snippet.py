"""The snippet that merchants copy from docs/webhooks.md takes what the gateway signs, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from settlement.services.gateway.notifications import signature

DOCUMENT = Path(__file__).parents[3] / "docs" / "webhooks.md"
SECRET, NOW_MS, BODY = "notify-secret-for-tests", 1_795_478_827_966, b'{"gid": "p1", "status": "succeeded"}'


@pytest.fixture(scope="module")
def is_genuine() -> Callable[..., bool]:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Callable[..., bool]] = {}
    exec(code, names)
    return names["is_genuine"]


def _headers(**changes: str) -> dict[str, str]:
    sent = {"Paylab-Timestamp": str(NOW_MS), "Paylab-Signature": signature(SECRET, NOW_MS, BODY)}
    return {**sent, **{name.replace("_", "-"): value for name, value in changes.items()}}


def test_a_genuine_callback_is_taken(is_genuine: Callable[..., bool]) -> None:
    assert is_genuine(SECRET, _headers(), BODY, NOW_MS + 299_000)


@pytest.mark.parametrize(
    ("secret", "headers", "body", "now_ms"),
    [
        ("another secret", _headers(), BODY, NOW_MS),
        (SECRET, _headers(), BODY.replace(b"p1", b"p2"), NOW_MS),
        (SECRET, _headers(Paylab_Timestamp=str(NOW_MS + 1)), BODY, NOW_MS),
        (SECRET, _headers(Paylab_Timestamp="soon"), BODY, NOW_MS),
        (SECRET, _headers(Paylab_Timestamp="²"), BODY, NOW_MS),
        (SECRET, _headers(Paylab_Signature=""), BODY, NOW_MS),
        (SECRET, _headers(Paylab_Signature="\u00e9"), BODY, NOW_MS),
        (SECRET, {}, BODY, NOW_MS),
        (SECRET, _headers(), BODY, NOW_MS + 300_001),
        (SECRET, _headers(), BODY, NOW_MS - 300_001),
    ],
)
def test_anything_else_is_not(
    is_genuine: Callable[..., bool], secret: str, headers: dict[str, str], body: bytes, now_ms: int
) -> None:
    assert not is_genuine(secret, headers, body, now_ms)
