"""Signatures cannot be forged, changed, moved in time or seen twice by a replica; tokens open what they are for."""

from __future__ import annotations

from typing import Any

import pytest

from settlement.chassis.secrets import MissingSecrets, secrets_from
from settlement.chassis.security import Tokens
from settlement.chassis.signature import WINDOW_MS, SignatureVerifier, signed_headers

NOW_MS = 1_700_000_000_000
SECRET = "a secret for this test"


def _signed(**changes: Any) -> dict[str, Any]:
    return {"method": "POST", "path_with_query": "/a?b=1", "body": b'{"amount":1}', "now_ms": NOW_MS, **changes}


def _refusal(verifier: SignatureVerifier, headers: dict[str, str], **changes: Any) -> str | None:
    call = _signed(**changes)
    return verifier.verify(headers, call["method"], call["path_with_query"], call["body"], call["now_ms"])


def test_a_genuine_call_passes_once() -> None:
    verifier, headers = SignatureVerifier(SECRET), signed_headers(SECRET, "gateway", **_signed())
    assert _refusal(verifier, headers) is None
    assert _refusal(verifier, headers) == "the call was seen before"


def test_another_replica_has_not_seen_the_call() -> None:
    headers = signed_headers(SECRET, "gateway", **_signed())
    assert [_refusal(SignatureVerifier(SECRET), headers) for _replica in range(2)] == [None, None]


@pytest.mark.parametrize(
    "change", [{"method": "PUT"}, {"path_with_query": "/a?b=2"}, {"body": b'{"amount":2}'}, {"body": b""}]
)
def test_a_changed_call_is_refused(change: dict[str, Any]) -> None:
    headers = signed_headers(SECRET, "gateway", **_signed())
    assert _refusal(SignatureVerifier(SECRET), headers, **change) == "the signature is wrong"


@pytest.mark.parametrize("header", ["paylab-service", "paylab-timestamp", "paylab-nonce", "paylab-signature"])
def test_each_header_is_needed(header: str) -> None:
    headers = signed_headers(SECRET, "gateway", **_signed())
    del headers[header]
    assert _refusal(SignatureVerifier(SECRET), headers) == "the call is not signed"


@pytest.mark.parametrize("header", ["paylab-timestamp", "paylab-nonce", "paylab-signature"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "9" * 400, "\xff", "\ud800", "²"])
def test_damaged_headers_are_refused(header: str, value: str) -> None:
    headers = signed_headers(SECRET, "gateway", **_signed())
    assert _refusal(SignatureVerifier(SECRET), {**headers, header: value}) is not None


@pytest.mark.parametrize(("late_ms", "passes"), [(WINDOW_MS, True), (WINDOW_MS + 1, False), (-WINDOW_MS - 1, False)])
def test_a_signature_is_good_for_thirty_seconds(late_ms: int, passes: bool) -> None:
    headers = signed_headers(SECRET, "gateway", **_signed())
    assert (_refusal(SignatureVerifier(SECRET), headers, now_ms=NOW_MS + late_ms) is None) == passes


def test_a_nonce_is_remembered_for_as_long_as_its_signature_is_good() -> None:
    verifier = SignatureVerifier(SECRET)
    headers = signed_headers(SECRET, "gateway", **_signed(now_ms=NOW_MS + WINDOW_MS))
    assert _refusal(verifier, headers) is None
    other = signed_headers(SECRET, "gateway", **_signed(now_ms=NOW_MS + 2 * WINDOW_MS))
    assert _refusal(verifier, other, now_ms=NOW_MS + 2 * WINDOW_MS) is None
    assert _refusal(verifier, headers, now_ms=NOW_MS + 2 * WINDOW_MS) == "the call was seen before"


def test_another_secret_does_not_sign() -> None:
    headers = signed_headers("another secret", "gateway", **_signed())
    assert _refusal(SignatureVerifier(SECRET), headers) == "the signature is wrong"


def test_a_token_is_good_for_its_user_until_it_expires() -> None:
    tokens = Tokens("x" * 32)
    token = tokens.issue(7, NOW_MS)
    assert tokens.user_of(token, NOW_MS - 1) == 7
    assert tokens.user_of(token, NOW_MS) is None
    assert Tokens("y" * 32).user_of(token, NOW_MS - 1) is None


def test_many_tokens_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settlement.chassis.security.TOKENS_CACHED_MAX", 10)
    tokens = Tokens("x" * 32)
    issued = [tokens.issue(number, NOW_MS) for number in range(30)]
    assert [tokens.user_of(token, 0) for token in issued] == list(range(30))
    assert len(tokens._verified) == 10


async def test_users_services_and_operators_have_their_own_doors(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    http = cluster.http("probe")
    assert (await http.get("/mine", headers=cluster.as_user(7))).json() == {"user_id": 7}
    assert (await http.get("/operator", headers=cluster.as_operator())).status_code == 200
    for headers in ({}, cluster.as_user(7), cluster.as_operator()):
        assert (await http.post("/notes", json={"text": "a"}, headers=headers)).status_code == 401
    for headers in ({}, cluster.as_user(7), cluster.as_fault_operator(), {"Paylab-Operator-Token": b"\xff"}):
        assert (await http.get("/operator", headers=headers)).status_code == 401
    assert probe.executed == 0


async def test_a_guard_of_a_router_guards_the_routers_inside_it(cluster: Any, probe: Any) -> None:
    await cluster.start("probe")
    http = cluster.http("probe")
    assert (await http.get("/outer/inner/1")).status_code == 401
    assert (await http.get("/outer/inner/1", headers=cluster.as_operator())).json() == {"number": 1}


def test_all_missing_secrets_are_named() -> None:
    with pytest.raises(MissingSecrets) as raised:
        secrets_from({"PAYLAB_JWT_SECRET": "short", "PAYLAB_SERVICE_SECRET": "x" * 32})
    named = " ".join(raised.value.problems)
    assert all(name in named for name in ("PAYLAB_JWT_SECRET", "PAYLAB_OPERATOR_TOKEN", "PAYLAB_NOTIFY_SECRET"))
    assert "PAYLAB_SERVICE_SECRET" not in named
    assert "short" not in named.replace("too short", "")


def test_secrets_are_not_printed(cluster: Any) -> None:
    assert cluster.secrets.service not in repr(cluster.secrets)
