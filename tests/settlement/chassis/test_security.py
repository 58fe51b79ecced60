"""Signatures cannot be forged, changed, moved in time or seen twice by a replica; tokens open what they are for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jwt
import pytest

from settlement.chassis.keys import BadKeys, KeyRing
from settlement.chassis.secrets import MissingSecrets, secrets_from
from settlement.chassis.security import Tokens
from settlement.chassis.signature import WINDOW_MS, Call, Refusal, SignatureVerifier, target_of
from settlement.chassis.signature import signed_headers as headers_of

NOW_MS = 1_700_000_000_000
SECRET = "a secret for this test"


def _call(**changes: Any) -> Call:
    call = Call("gateway", "order/order-0", "POST", "/a?b=1", b'{"amount":1}')
    return replace(call, **changes)


def _verifier(target: str = "order/order-0") -> SignatureVerifier:
    return SignatureVerifier(SECRET, {target})


def _signed(secret: str = SECRET, now_ms: int = NOW_MS) -> dict[str, str]:
    return headers_of(secret, _call(), now_ms)


def _refusal(verifier: SignatureVerifier, headers: dict[str, str], now_ms: int = NOW_MS, **changes: Any) -> str | None:
    call = _call(**changes)
    refusal = verifier.verify(headers, call.method, call.path_with_query, call.body, now_ms)
    return None if refusal is None else refusal.reason


def test_a_genuine_call_passes_once() -> None:
    verifier, headers = _verifier(), _signed()
    assert _refusal(verifier, headers) is None
    assert _refusal(verifier, headers) == "the call was seen before"


@pytest.mark.parametrize("target", ["order/order-1", "payment/order-0", "order"])
def test_a_call_is_good_at_the_replica_it_was_made_to_and_nowhere_else(target: str) -> None:
    call, headers = _call(), _signed()
    refusal = _verifier(target).verify(headers, call.method, call.path_with_query, call.body, NOW_MS)
    assert refusal == Refusal("the call is for another replica", misdirected=True)


@pytest.mark.parametrize("change", [{"paylab-target": "order/order-1"}, {"paylab-service": "payment"}])
def test_neither_target_nor_caller_can_be_changed_on_the_way(change: dict[str, str]) -> None:
    verifier = SignatureVerifier(SECRET, {"order/order-0", "order/order-1"})
    assert _refusal(verifier, {**_signed(), **change}) == "the signature is wrong"


@pytest.mark.parametrize(
    "change", [{"method": "PUT"}, {"path_with_query": "/a?b=2"}, {"body": b'{"amount":2}'}, {"body": b""}]
)
def test_a_changed_call_is_refused(change: dict[str, Any]) -> None:
    assert _refusal(_verifier(), _signed(), **change) == "the signature is wrong"


HEADERS = ["paylab-service", "paylab-target", "paylab-timestamp", "paylab-nonce", "paylab-signature"]


@pytest.mark.parametrize("header", HEADERS)
def test_each_header_is_needed(header: str) -> None:
    headers = _signed()
    del headers[header]
    assert _refusal(_verifier(), headers) == "the call is not signed"


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("value", ["0", "-1", "x", "9" * 400, "\xff", "\ud800", "²"])
def test_damaged_headers_are_refused(header: str, value: str) -> None:
    assert _refusal(_verifier(), {**_signed(), header: value}) is not None


@pytest.mark.parametrize(("late_ms", "passes"), [(WINDOW_MS, True), (WINDOW_MS + 1, False), (-WINDOW_MS - 1, False)])
def test_a_signature_is_good_for_thirty_seconds(late_ms: int, passes: bool) -> None:
    assert (_refusal(_verifier(), _signed(), now_ms=NOW_MS + late_ms) is None) == passes


def test_a_nonce_is_remembered_for_as_long_as_its_signature_is_good() -> None:
    verifier, headers = _verifier(), _signed(now_ms=NOW_MS + WINDOW_MS)
    assert _refusal(verifier, headers) is None
    later_ms = NOW_MS + 2 * WINDOW_MS
    assert _refusal(verifier, _signed(now_ms=later_ms), now_ms=later_ms) is None
    assert _refusal(verifier, headers, now_ms=later_ms) == "the call was seen before"


def test_the_memory_for_nonces_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settlement.chassis.signature.NONCES_MAX", 10)
    verifier = _verifier()
    assert all(_refusal(verifier, _signed()) is None for _ in range(30))
    assert len(verifier._nonces) == len(verifier._by_age) == 10


def test_another_secret_does_not_sign() -> None:
    assert _refusal(_verifier(), _signed("another secret")) == "the signature is wrong"


async def test_a_recorded_call_is_refused_by_every_other_replica_before_it_does_anything(
    cluster: Any, probe: Any
) -> None:
    for number in range(2):
        await cluster.start("probe", f"probe-{number}")
    call = Call("tester", target_of("probe", "probe-0"), "POST", "/notes", b'{"text": "a"}')
    headers = headers_of(cluster.secrets.service, call, cluster.clock.now_ms())
    headers["content-type"] = "application/json"
    replies = [
        await cluster.http(name).post("/notes", content=call.body, headers=headers)
        for name in ("probe-1", "probe-0", "probe-0")
    ]
    assert [reply.status_code for reply in replies] == [421, 201, 401]
    assert replies[0].json()["code"] == "misdirected_call"
    assert probe.executed == 1


OLD, NEW = "a:" + "o" * 32, "b:" + "n" * 32


def _tokens(ring: str = "x" * 32) -> Tokens:
    return Tokens(KeyRing.parse(ring))


def test_a_token_is_good_for_its_user_until_it_expires() -> None:
    tokens = _tokens()
    token = tokens.issue(7, NOW_MS)
    assert tokens.user_of(token, NOW_MS - 1) == 7
    assert tokens.user_of(token, NOW_MS) is None
    assert _tokens("y" * 32).user_of(token, NOW_MS - 1) is None


def test_a_rotation_of_keys_logs_nobody_out_until_the_old_key_is_taken_away() -> None:
    of_old = _tokens(OLD).issue(7, NOW_MS)
    # First everybody learns the new key, for whoever is behind must be able to check what the others sign.
    assert _tokens(f"{OLD},{NEW}").user_of(of_old, 0) == 7
    both = _tokens(f"{NEW},{OLD}")
    of_new = both.issue(8, NOW_MS)
    assert (both.user_of(of_old, 0), both.user_of(of_new, 0)) == (7, 8)
    assert _tokens(f"{OLD},{NEW}").user_of(of_new, 0) == 8
    new = _tokens(NEW)
    assert (new.user_of(of_old, 0), new.user_of(of_new, 0)) == (None, 8)


def test_a_key_without_a_name_can_be_rotated_as_well() -> None:
    token = _tokens("o" * 32).issue(7, NOW_MS)
    assert _tokens(f"{NEW},{'o' * 32}").user_of(token, 0) == 7


def _forged(kid: object, algorithm: str = "HS256", secret: str = "o" * 32) -> str:
    claims = {"sub": "1", "exp": NOW_MS // 1_000, "aud": "paylab"}
    return jwt.encode(claims, secret, algorithm, headers={"kid": kid} if kid is not None else None)


@pytest.mark.parametrize(
    "token",
    [
        _forged(None),
        _forged("b"),
        _forged("A"),
        _forged("a", "none", ""),
        _forged("a", "HS512", "o" * 64),
        _forged("a", "HS384", "o" * 48),
        "",
        "a.b.c",
        "\ud800.x.y",
    ],
)
def test_a_token_of_another_key_or_algorithm_opens_nothing(token: str) -> None:
    assert _tokens(OLD).user_of(_forged("a"), 0) == 1
    assert _tokens(OLD).user_of(token, 0) is None


@pytest.mark.parametrize(
    ("ring", "problem"),
    [
        ("a:short", "key 1 is too short"),
        (f"{OLD},", "key 2 is too short"),
        (f"{OLD},a:{'z' * 40}", "two keys are called a"),
        (",".join(f"k{number}:{'z' * 40}" for number in range(9)), "9 keys"),
    ],
)
def test_keys_that_cannot_be_used_are_named_and_not_shown(ring: str, problem: str) -> None:
    with pytest.raises(BadKeys, match=problem) as raised:
        KeyRing.parse(ring)
    assert "zzz" not in str(raised.value)
    with pytest.raises(MissingSecrets, match=f"PAYLAB_JWT_SECRET: {problem}") as missing:
        secrets_from({"PAYLAB_JWT_SECRET": ring + " " * 20})
    assert "zzz" not in str(missing.value)


def test_many_tokens_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settlement.chassis.security.TOKENS_CACHED_MAX", 10)
    tokens = _tokens()
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
