"""Account confirmation: captcha, registration, login, profile."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from settlement.services.usercenter import passwords
from tests.mariadb_server import both_backends


async def _captcha(http: httpx.AsyncClient) -> dict[str, Any]:
    found = (await http.post("/captcha")).json()
    left, right = found["question"].split(" + ")
    return {"captcha_id": found["captcha_id"], "captcha_answer": int(left) + int(right)}


async def _register(http: httpx.AsyncClient, **changes: Any) -> httpx.Response:
    user = {"name": "Ada", "phone": "13800000001", "email": "ada@example.org", "password": "correct horse"}
    return await http.post("/users", json={**user, **await _captcha(http), **changes})


async def _token(http: httpx.AsyncClient, login: str = "13800000001", password: str = "correct horse") -> str:
    reply = await http.post("/sessions", json={"login": login, "password": password})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["token"])


@pytest.fixture
async def http(cluster: Any) -> httpx.AsyncClient:
    await cluster.start("usercenter")
    client: httpx.AsyncClient = cluster.http("usercenter")
    return client


async def test_a_user_registers_logs_in_and_sees_the_own_profile(http: httpx.AsyncClient) -> None:
    registered = await _register(http)
    assert registered.status_code == 201
    token = await _token(http)
    profile = await http.get("/users/me", headers={"Authorization": f"Bearer {token}"})
    assert profile.json() == {
        "user_id": registered.json()["user_id"],
        "name": "Ada",
        "phone": "13800000001",
        "email": "ada@example.org",
    }


async def test_login_works_with_the_email_in_any_case(http: httpx.AsyncClient) -> None:
    await _register(http, email="Ada@Example.org")
    assert await _token(http, "ADA@example.ORG")


@pytest.mark.parametrize(
    ("login", "password"), [("13800000001", "wrong horse"), ("nobody@example.org", "correct horse"), ("\u202e", "x")]
)
async def test_a_wrong_login_is_refused_without_saying_what_was_wrong(
    http: httpx.AsyncClient, login: str, password: str
) -> None:
    await _register(http)
    reply = await http.post("/sessions", json={"login": login, "password": password})
    assert reply.status_code == 401
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["code"] == "login_failed"


async def test_phone_and_email_belong_to_one_account(http: httpx.AsyncClient) -> None:
    await _register(http)
    same_phone = await _register(http, email="other@example.org")
    same_email = await _register(http, phone="13900000000", email="ADA@example.org")
    assert (same_phone.status_code, same_phone.json()["code"]) == (409, "phone_taken")
    assert (same_email.status_code, same_email.json()["code"]) == (409, "email_taken")


async def test_a_captcha_is_good_for_one_try(http: httpx.AsyncClient) -> None:
    captcha = await _captcha(http)
    wrong = await _register(http, captcha_id=captcha["captcha_id"], captcha_answer=captcha["captcha_answer"] + 1)
    assert (wrong.status_code, wrong.json()["code"]) == (422, "captcha_wrong")
    again = await _register(http, **captcha)
    assert (again.status_code, again.json()["code"]) == (422, "captcha_wrong")


async def test_a_captcha_expires(cluster: Any, http: httpx.AsyncClient) -> None:
    captcha = await _captcha(http)
    cluster.clock.advance_ms(300_001)
    assert (await _register(http, **captcha)).json()["code"] == "captcha_wrong"


async def test_a_bad_registration_lists_every_wrong_field(http: httpx.AsyncClient) -> None:
    reply = await http.post("/users", json={"name": " ", "phone": "x", "email": "y", "password": "pw-7x", "more": 1})
    assert reply.status_code == 422
    named = {error["where"] for error in reply.json()["errors"]}
    wanted = {"name", "phone", "email", "password", "captcha_id", "captcha_answer", "more"}
    assert named == {f"body.{field}" for field in wanted}
    assert "pw-7x" not in reply.text, "a refused password must not be echoed"


async def test_the_password_is_stored_as_argon2id_and_nowhere_in_clear(cluster: Any, http: httpx.AsyncClient) -> None:
    import sqlalchemy as sa

    await _register(http)
    row = (await cluster.replica("usercenter-0").chassis.database.read(sa.text("SELECT * FROM user")))[0]
    assert row.passwd.startswith("$argon2id$")
    assert len(bytes.fromhex(row.salt)) == 16
    assert all("correct horse" not in str(value) for value in row)


async def test_a_session_ends_when_its_token_expires(cluster: Any, http: httpx.AsyncClient) -> None:
    await _register(http)
    headers = {"Authorization": f"Bearer {await _token(http)}"}
    assert (await http.get("/users/me", headers=headers)).status_code == 200
    cluster.clock.advance_ms(3_600_001)
    assert (await http.get("/users/me", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer x.y.z", "Basic YTpi", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "Bearer \xff"],
)
async def test_a_forged_token_is_refused(http: httpx.AsyncClient, authorization: str) -> None:
    reply = await http.get("/users/me", headers={"Authorization": authorization.encode("latin-1")})
    assert reply.status_code == 401
    assert reply.json()["code"] == "not_authenticated"


async def test_a_token_changed_in_one_character_is_refused(http: httpx.AsyncClient) -> None:
    await _register(http)
    token = await _token(http)
    middle = len(token) // 2
    forged = token[:middle] + ("a" if token[middle] != "a" else "b") + token[middle + 1 :]
    assert (await http.get("/users/me", headers={"Authorization": f"Bearer {forged}"})).status_code == 401


async def test_a_user_changes_name_and_password(http: httpx.AsyncClient) -> None:
    await _register(http)
    headers = {"Authorization": f"Bearer {await _token(http)}"}
    changed = await http.patch("/users/me", headers=headers, json={"name": "Ada L."})
    assert changed.json()["name"] == "Ada L."
    refused = await http.patch(
        "/users/me", headers=headers, json={"password": "battery staple", "current_password": "no"}
    )
    assert refused.status_code == 403
    accepted = await http.patch(
        "/users/me", headers=headers, json={"password": "battery staple", "current_password": "correct horse"}
    )
    assert accepted.status_code == 200
    assert await _token(http, password="battery staple")


async def test_a_user_cannot_take_the_phone_of_another(http: httpx.AsyncClient) -> None:
    await _register(http)
    await _register(http, phone="13900000000", email="b@example.org")
    headers = {"Authorization": f"Bearer {await _token(http, '13900000000')}"}
    reply = await http.patch("/users/me", headers=headers, json={"phone": "13800000001"})
    assert (reply.status_code, reply.json()["code"]) == (409, "phone_taken")


# ---- guessing -------------------------------------------------------------------------------------------------------


async def _log_in(http: httpx.AsyncClient, login: str, password: str = "wrong horse") -> httpx.Response:
    return await http.post("/sessions", json={"login": login, "password": password})


@both_backends
@pytest.mark.parametrize("login", ["13800000001", "nobody@example.org"])
async def test_guessing_is_slowed_down_and_the_answers_do_not_tell_which_accounts_exist(
    cluster: Any, http: httpx.AsyncClient, login: str
) -> None:
    await _register(http)
    told = []
    for _ in range(9):
        reply = await _log_in(http, login)
        told.append((reply.status_code, reply.json()["code"], reply.headers.get("Retry-After")))
        if reply.status_code == 429:
            cluster.clock.advance_ms(int(reply.headers["Retry-After"]) * 1_000)
    failed = (401, "login_failed", None)
    waits = [(429, "too_many_attempts", seconds) for seconds in ("1", "2")]
    assert told == [failed] * 6 + [waits[0], failed, waits[1]]


@both_backends
async def test_the_right_password_is_not_looked_at_too_early_and_then_forgives(
    cluster: Any, http: httpx.AsyncClient
) -> None:
    await _register(http)
    for _ in range(6):
        await _log_in(http, "13800000001")
    assert (await _log_in(http, "13800000001", "correct horse")).status_code == 429
    assert (await _log_in(http, "nobody@example.org")).status_code == 401, "somebody else need not wait"
    cluster.clock.advance_ms(1_000)
    assert await _token(http)
    assert [(await _log_in(http, "13800000001")).status_code for _ in range(5)] == [401] * 5


@both_backends
async def test_guesses_sent_at_once_are_counted_one_by_one(http: httpx.AsyncClient) -> None:
    await _register(http)
    replies = await asyncio.gather(*(_log_in(http, "13800000001", f"guess {number}") for number in range(30)))
    assert sorted(reply.status_code for reply in replies) == [401] * 6 + [429] * 24


async def test_an_address_that_tries_many_accounts_is_slowed_down(cluster: Any, http: httpx.AsyncClient) -> None:
    await _register(http)
    statuses = [(await _log_in(http, f"user{number}@example.org")).status_code for number in range(60)]
    assert statuses == [401] * 51 + [429] * 9
    assert (await _log_in(http, "13800000001", "correct horse")).status_code == 429
    cluster.clock.advance_ms(3_600_001)
    assert await _token(http)


@both_backends
async def test_another_replica_knows_of_the_failures(cluster: Any, http: httpx.AsyncClient) -> None:
    await _register(http)
    for _ in range(6):
        await _log_in(http, "13800000001")
    await cluster.start("usercenter", "usercenter-1")
    assert (await _log_in(cluster.http("usercenter-1"), "13800000001")).status_code == 429


async def test_guessing_captchas_is_slowed_down(http: httpx.AsyncClient) -> None:
    replies = [await _register(http, captcha_id="guess", captcha_answer=9) for _ in range(53)]
    assert [reply.status_code for reply in replies] == [422] * 51 + [429] * 2
    assert replies[-1].json()["code"] == "too_many_attempts"


@both_backends
async def test_a_stolen_session_does_not_find_out_the_password(http: httpx.AsyncClient) -> None:
    await _register(http)
    headers = {"Authorization": f"Bearer {await _token(http)}"}
    change = {"password": "another horse", "current_password": "guess"}
    statuses = [(await http.patch("/users/me", json=change, headers=headers)).status_code for _ in range(8)]
    assert statuses == [403] * 6 + [429] * 2


async def test_nobody_s_login_is_hashed_like_somebody_s(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _register(http)
    hashed = []
    verify = passwords.verify_secret
    monkeypatch.setattr(passwords, "verify_secret", lambda *given: hashed.append(given[0][:40]) or verify(*given))
    await _log_in(http, "13800000001")
    await _log_in(http, "nobody@example.org")
    assert len(hashed) == 2
    parameters = [encoded.rsplit(b"$", 2)[0] for encoded in hashed]
    assert parameters[0] == parameters[1], "the same argon2 parameters"
