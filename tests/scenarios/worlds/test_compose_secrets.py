"""The secrets of a composed platform: generated once, private, and each container gets no more than its own."""

import json
import stat
from pathlib import Path

from scenarios.worlds import compose_secrets
from settlement.chassis.environment import with_files
from settlement.chassis.keys import KeyRing
from settlement.chassis.secrets import secrets_from
from settlement.topology import SERVICES


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def everything_below(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def test_they_are_made_once_and_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    first = compose_secrets.ensure(folder)
    assert compose_secrets.ensure(folder) == first
    assert mode(folder) == 0o700
    assert mode(folder / "secrets.json") == 0o600
    values = [*first.shared.values(), *first.others.values(), *first.database.values()]
    assert len(set(values)) == len(values)
    assert min(map(len, values)) >= 32


def test_a_service_that_is_new_gets_its_password_and_the_others_keep_theirs(tmp_path: Path) -> None:
    first = compose_secrets.ensure(tmp_path)
    document = json.loads((tmp_path / "secrets.json").read_text())
    del document["database"]["cart"]
    (tmp_path / "secrets.json").write_text(json.dumps(document))
    second = compose_secrets.ensure(tmp_path)
    assert second.database["cart"] != first.database["cart"]
    assert second.database["order"] == first.database["order"]
    assert second.database["cart"] in (tmp_path / "cart" / "database_url").read_text()


def test_a_rotated_key_of_sessions_reaches_every_service_as_the_runbook_says(tmp_path: Path) -> None:
    old = compose_secrets.ensure(tmp_path).shared["jwt_secret"]
    new = "n" * 48
    for ring, signing in ((f"{old},2026b:{new}", old), (f"2026b:{new},{old}", new), (f"2026b:{new}", new)):
        document = json.loads((tmp_path / "secrets.json").read_text())
        document["shared"]["jwt_secret"] = ring
        (tmp_path / "secrets.json").write_text(json.dumps(document))
        compose_secrets.ensure(tmp_path)
        read = {(tmp_path / service / "jwt_secret").read_text() for service in SERVICES}
        assert [KeyRing.parse(text).signing.secret for text in read] == [signing]


def test_a_service_can_start_with_what_it_is_given(tmp_path: Path) -> None:
    made = compose_secrets.ensure(tmp_path)
    mount = tmp_path / "gateway"
    names = ("SERVICE_SECRET", "JWT_SECRET", "NOTIFY_SECRET", "OPERATOR_TOKEN", "FAULT_TOKEN")
    environment = with_files({f"PAYLAB_{name}_FILE": str(mount / name.lower()) for name in names})
    secrets = secrets_from(environment)
    assert secrets.operator == made.operator_token
    assert secrets.fault == made.fault_token


def test_no_service_sees_the_database_password_of_another(tmp_path: Path) -> None:
    made = compose_secrets.ensure(tmp_path)
    for service in SERVICES:
        seen = everything_below(tmp_path / service)
        assert made.database[service] in seen
        strangers = [password for name, password in made.database.items() if name != service]
        assert not [password for password in strangers if password in seen]
        assert made.others["database_root"] not in seen


def test_compose_is_told_where_they_are_and_what_else_was_written_there_stays(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PAYLAB_GATEWAY_PORT=9999\nPAYLAB_SECRETS=/elsewhere\n")
    made = compose_secrets.ensure(tmp_path / ".secrets")
    text = compose_secrets.announce(tmp_path / ".secrets", tmp_path).read_text()
    assert text == "PAYLAB_GATEWAY_PORT=9999\nPAYLAB_SECRETS=./.secrets\nCOMPOSE_PROJECT_NAME=paylab\n"
    assert compose_secrets.announce(tmp_path / ".secrets", tmp_path).read_text() == text
    assert made.operator_token not in text


def test_removing_leaves_nothing(tmp_path: Path) -> None:
    compose_secrets.ensure(tmp_path / "secrets")
    compose_secrets.remove(tmp_path / "secrets")
    assert list(tmp_path.iterdir()) == []
