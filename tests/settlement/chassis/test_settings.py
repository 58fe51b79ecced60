"""The catalogue of settings refuses what no service could work with, and says everything at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.chassis.live_settings import LiveSettings
from settlement.settings import SETTINGS, defaults, validate


def test_the_defaults_are_valid() -> None:
    assert validate(defaults()) == []


def test_every_name_tells_its_service_and_its_unit() -> None:
    for name, setting in SETTINGS.items():
        assert name.count(".") == 1, name
        if setting.unit in ("ms", "s"):
            assert name.endswith(f"_{setting.unit}"), name


def test_all_problems_are_listed() -> None:
    problems = validate(
        {"nope": 1, "gateway.lease_ms": True, "gateway.retry_base_ms": 0, "log.level": "LOUD", "channel.seed": 2**80,
         "channel.decline_share": float("nan"), "gateway.notify_schedule_ms": [1, "2", -3]}
    )  # fmt: skip
    assert len(problems) == 8
    assert {problem.split(":")[0] for problem in problems} >= {"nope", "log.level", "channel.decline_share"}


@pytest.mark.parametrize(
    "values",
    [
        {"gateway.lease_ms": 2_000},
        {"gateway.prepare_timeout_ms": 3_000},
        {"registry.renew_interval_ms": 3_000},
        {"gateway.retry_base_ms": 2_000},
    ],
)
def test_settings_that_do_not_fit_together_are_refused(values: dict[str, int]) -> None:
    assert len(validate(values)) == 1


def test_values_that_do_not_fit_are_told_beside_those_that_are_wrong_by_themselves() -> None:
    problems = validate({"http.timeout_ms": -1, "gateway.lease_ms": 2_000, "registry.lease_ms": "long"})
    assert [problem.split(":")[0] for problem in problems] == [
        "http.timeout_ms", "registry.lease_ms", "gateway.lease_ms",
    ]  # fmt: skip


def test_nothing_is_held_against_a_value_that_is_wrong_itself() -> None:
    assert len(validate({"gateway.lease_ms": "long", "gateway.prepare_timeout_ms": 5_000})) == 1


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("gateway.notify_hosts", "", "http://shop.example"),
        ("gateway.notify_hosts", "Shop.example, ::1,10.0.0.7, shop_1", "shop.example:8080, a b, ok.example"),
        ("log.levels", "gateway=DEBUG, aiohttp.client=ERROR", "gateway=LOUD, gateway, order=INFO, order=INFO"),
        ("reporting.storage_url", "", "reports"),
        ("reporting.storage_url", "s3://bucket/daily", "http://bucket/daily"),
        ("reporting.storage_url", "file:///var/reports", "file://host/reports"),
        ("reporting.storage_url", "s3://bucket", "s3://[bucket"),
    ],
)
def test_a_text_that_no_service_could_use_is_refused(name: str, good: str, bad: str) -> None:
    assert validate({name: good}) == []
    problems = validate({name: bad})
    assert problems
    assert all(problem.startswith(f"{name}: ") for problem in problems)


@given(st.dictionaries(st.sampled_from([*SETTINGS, "x.y"]), st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())), max_size=4))  # fmt: skip
def test_values_of_any_kind_are_judged_without_an_error(values: dict[str, object]) -> None:
    problems = validate(values)
    assert problems or LiveSettings(values)


def test_a_refused_version_leaves_the_old_one_in_force() -> None:
    settings = LiveSettings({"channel.latency_ms": 7}, version=1)
    with pytest.raises(ValueError, match=r"channel\.latency_ms"):
        settings.replace({"channel.latency_ms": -1}, version=2)
    assert (settings.integer("channel.latency_ms"), settings.version) == (7, 1)


def test_a_new_version_replaces_the_whole_old_one() -> None:
    settings = LiveSettings({"channel.latency_ms": 7}, version=1)
    heard = []
    settings.on_change(lambda: heard.append(settings.version))
    settings.replace({"channel.seed": 3}, version=2)
    assert settings.integer("channel.latency_ms") == SETTINGS["channel.latency_ms"].default
    assert heard == [2]


def test_reading_a_setting_as_something_else_is_a_bug() -> None:
    with pytest.raises(TypeError):
        LiveSettings().integer("log.level")
    with pytest.raises(KeyError):
        LiveSettings().integer("no.such")


def test_a_canary_rule_that_cannot_be_read_is_refused_with_all_problems() -> None:
    problems = validate({"route.canary": "order:0.2.0=200%, cart", "channel.latency_ms": -1})
    assert [problem.split(":")[0] for problem in problems] == ["channel.latency_ms", "route.canary", "route.canary"]
    assert validate({"route.canary": "order:0.2.0=10%"}) == []
