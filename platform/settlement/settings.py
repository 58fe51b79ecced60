"""The catalogue of every runtime setting: name, kind, default, bounds, unit, meaning.

One table serves three readers: the config center refuses values that break it, the services read typed values
through it, and the scenario validator checks `platform.settings` against it before anything is started.
Names are `service.name_unit`. A setting that is not in the table does not exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from settlement.policies import canary
from settlement.protocol.shipped import PROTOCOLS, TWO_PHASE
from settlement.setting_formats import LEVELS, host_problems, level_problems, storage_problems

SettingValue = int | float | str | tuple[int, ...]

PROFILES: Final = ("dev", "test", "prod")

NAME_LENGTH_MAX: Final = 64


class Kind(StrEnum):
    """What sort of value a setting takes."""

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    INTEGERS = "integers"


@dataclass(frozen=True)
class Setting:
    """One runtime setting.

    `minimum` and `maximum` bound integers and numbers, and every element of a list of integers. `choices`, when not
    empty, are the only texts allowed.
    """

    name: str
    kind: Kind
    default: SettingValue
    minimum: float | None
    maximum: float | None
    unit: str
    description: str
    choices: tuple[str, ...] = ()


def _integer(name: str, default: int, minimum: int, maximum: int, unit: str, description: str) -> Setting:
    return Setting(name, Kind.INTEGER, default, minimum, maximum, unit, description)


def _number(name: str, default: float, minimum: float, maximum: float, unit: str, description: str) -> Setting:
    return Setting(name, Kind.NUMBER, default, minimum, maximum, unit, description)


def _text(name: str, default: str, choices: tuple[str, ...], description: str) -> Setting:
    return Setting(name, Kind.TEXT, default, None, None, "", description, choices)


# Alipay repeats after 4 m, 10 m, 10 m, 1 h, 2 h, 6 h, 15 h; a run of a minute needs the same shape 480 times faster.
NOTIFY_SCHEDULE_MS: Final = (500, 1_250, 1_250, 7_500, 15_000, 45_000, 112_500)

# The positions of a degradation switch, as in policies/degradation.py.
MODES: Final = ("automatic", "always", "never")

_CATALOGUE: Final = (
    _text(
        "gateway.protocol",
        TWO_PHASE,
        tuple(PROTOCOLS),
        "How a payment is made atomic; `article` loses money, for the lab. Change it only while nothing is under way.",
    ),
    _integer("gateway.prepare_timeout_ms", 2_000, 10, 600_000, "ms", "How long the coordinator waits for all votes."),
    _integer("gateway.lease_ms", 3_000, 20, 600_000, "ms", "How long a replica owns a transaction without renewing."),
    _integer("gateway.retry_base_ms", 300, 1, 60_000, "ms", "First pause before a decision is sent again."),
    _integer("gateway.retry_max_ms", 1_000, 1, 600_000, "ms", "Longest pause before a decision is sent again."),
    _integer("gateway.retry_attempts_max", 60, 1, 100_000, "", "Deliveries of a decision before an operator is asked."),
    _integer("gateway.recovery_interval_ms", 500, 10, 600_000, "ms", "How often orphaned transactions are looked for."),
    Setting(
        "gateway.notify_schedule_ms",
        Kind.INTEGERS,
        NOTIFY_SCHEDULE_MS,
        1,
        86_400_000,
        "ms",
        "Pauses between deliveries to notify_url, one per repetition.",
    ),
    _text(
        "gateway.notify_hosts", "127.0.0.1,localhost,::1", (), "Hosts that notify_url may name, separated by commas."
    ),
    _integer("gateway.idempotency_ttl_s", 86_400, 1, 31_536_000, "s", "How long an idempotency key is remembered."),
    _integer(
        "gateway.notifications_kept_days", 30, 1, 3_650, "days", "Callbacks delivered or given up are kept this long."
    ),
    _text("gateway.currency", "CNY", ("CNY", "EUR", "GBP", "JPY", "USD"), "The currency payments are taken in."),
    _text(
        "gateway.risk_mode",
        "fail_open",
        ("off", "fail_open", "fail_closed"),
        "Whether risk is asked before a payment, and whether a payment goes on when risk does not answer.",
    ),
    _integer("gateway.risk_timeout_ms", 150, 1, 60_000, "ms", "How long a payment waits for risk's verdict."),
    _integer("order.orphan_interval_ms", 5_000, 10, 3_600_000, "ms", "Prepared longer than this: ask for the outcome."),
    _integer("order.expire_after_s", 900, 1, 31_536_000, "s", "An unpaid order is cancelled after this."),
    _integer(
        "order.stock_per_goods", 1_000_000, 0, 10**12, "units", "Initial stock of every article of the catalogue."
    ),
    _integer("order.goods_count", 50, 1, 10_000, "", "Articles in the seeded catalogue."),
    _integer("order.merchant_count", 10, 1, 1_000, "", "Merchants that the articles of the catalogue belong to."),
    _integer(
        "payment.orphan_interval_ms", 5_000, 10, 3_600_000, "ms", "Prepared longer than this: ask for the outcome."
    ),
    _integer("payment.channel_timeout_ms", 1_500, 10, 600_000, "ms", "How long a call to the channel may take."),
    _integer("payment.opening_balance_minor", 10_000_000, 0, 10**12, "minor", "Balance granted to a new account."),
    _text("message.sms", "off", ("off", "on", "failing"), "Whether texts go to the simulated provider, and its mood."),
    _integer("message.kept_days", 90, 1, 3_650, "days", "Messages older than this are dropped."),
    _integer("statistics.kept_days", 400, 1, 3_650, "days", "Minutes counted longer ago than this are dropped."),
    _integer("risk.kept_days", 180, 32, 3_650, "days", "Assessments older than this are dropped."),
    _integer("risk.rules_refresh_ms", 500, 10, 60_000, "ms", "How often a replica looks for rules changed elsewhere."),
    _integer(
        "reconciliation.interval_ms", 0, 0, 86_400_000, "ms", "How often every channel is reconciled; 0 is never."
    ),
    _integer(
        "reconciliation.grace_ms", 120_000, 0, 86_400_000, "ms", "How long one side may book later than the other."
    ),
    _integer(
        "reconciliation.kept_days", 400, 32, 3_650, "days", "Statements without an open difference are kept this long."
    ),
    _integer("clearing.fee_basis_points", 60, 0, 10_000, "1/10000", "Fee on what a merchant's customers paid."),
    _integer("clearing.grace_ms", 300_000, 0, 86_400_000, "ms", "How long after its end a day is cleared by itself."),
    _text("reporting.storage_url", "", (), "Where reports are kept: file:// or s3://; empty is the data folder."),
    _integer("reporting.retry_ms", 5_000, 10, 3_600_000, "ms", "Pause before a report is stored again."),
    _integer(
        "reporting.daily_after_ms", 600_000, 0, 86_400_000, "ms", "How long after its end a day is reported by itself."
    ),
    _integer("channel.latency_ms", 5, 0, 60_000, "ms", "Time the channel takes to answer."),
    _number("channel.decline_share", 0.0, 0.0, 1.0, "", "Share of charges the channel declines."),
    _integer("channel.seed", 1, 0, 2**63 - 1, "", "Seed of the channel's declines."),
    _integer(
        "configcenter.history_kept_days", 730, 1, 36_500, "days", "Versions of settings that are no longer in force."
    ),
    _integer("registry.lease_ms", 3_000, 50, 600_000, "ms", "A registration not renewed for this long is dropped."),
    _integer("registry.renew_interval_ms", 1_000, 10, 600_000, "ms", "How often a replica renews its registration."),
    _integer("registry.refresh_interval_ms", 1_000, 10, 600_000, "ms", "How often the cached registry is refreshed."),
    _number("registry.preservation_share", 0.85, 0.0, 1.0, "", "Nobody is dropped when fewer of all are heard."),
    _integer(
        "registry.preservation_silent_min", 3, 1, 1_000, "", "Processes that must be silent at once for nobody to drop."
    ),
    _number(
        "registry.preservation_silence_share", 0.66, 0.1, 1.0, "", "Silent this long, as a share of the lease, counts."
    ),
    _integer(
        "registry.preservation_max_ms", 60_000, 0, 86_400_000, "ms", "An ended lease is kept no longer than this."
    ),
    _text("registry.eureka_access", "token", ("token", "open"), "Whether Eureka clients need a password to register."),
    _text("route.canary", "", (), "Share of calls to the replicas of a version, like order:0.2.0=10%."),
    _integer("http.timeout_ms", 3_000, 10, 600_000, "ms", "Default deadline of a call between services."),
    _number("http.retry_budget_share", 0.1, 0.0, 1.0, "", "Retries allowed per call between services."),
    _number("http.breaker_failure_share", 0.5, 0.0, 1.0, "", "Failed share of calls that opens a breaker; 0: never."),
    _integer("http.breaker_calls_min", 20, 1, 100_000, "", "Fewer calls within the window open no breaker."),
    _integer("http.breaker_window_ms", 5_000, 100, 600_000, "ms", "How far back a breaker looks."),
    _integer("http.breaker_open_ms", 500, 10, 600_000, "ms", "How long a breaker stays open the first time."),
    _integer("http.breaker_open_max_ms", 2_000, 10, 600_000, "ms", "How long a breaker stays open at most."),
    _integer("http.body_bytes_max", 65_536, 256, 16_777_216, "bytes", "A larger request body is refused with 413."),
    _number("limit.user_rate_per_s", 100.0, 0.0, 1e6, "", "Requests a user may make of a service; 0: any number."),
    _integer("limit.user_burst", 200, 1, 10**6, "", "Requests a user may make at once."),
    _number("limit.address_rate_per_s", 5_000.0, 0.0, 1e6, "", "The same for a client address without a session."),
    _integer("limit.address_burst", 10_000, 1, 10**6, "", "The same for a client address without a session."),
    _number("limit.account_rate_per_s", 20.0, 0.0, 1e6, "", "Captchas, registrations, log-ins each for an address."),
    _integer("limit.account_burst", 1_000, 1, 10**6, "", "Captchas, registrations, log-ins each, at once."),
    _number("limit.service_rate_per_s", 20_000.0, 0.0, 1e6, "", "Calls of the platform's own services, by address."),
    _integer("limit.service_burst", 40_000, 1, 10**6, "", "Calls of the platform's own services at once."),
    _text(
        "limit.concurrency_mode", "fixed", ("off", "fixed", "adaptive"), "How a replica limits what it does at once."
    ),
    _integer("limit.concurrency_max", 512, 1, 100_000, "", "Requests in progress in a replica, at most."),
    _text("gateway.admission_mode", "adaptive", ("off", "fixed", "adaptive"), "How new payments are limited."),
    _integer(
        "gateway.admission_min", 40, 1, 100_000, "", "So many undecided payments are begun however slow they are."
    ),
    _integer("gateway.admission_max", 200, 1, 100_000, "", "Payments and refunds undecided in a replica, at most."),
    _text("degrade.cart_cache", "automatic", MODES, "Read carts from the database every time."),
    _text("degrade.goods_list", "automatic", MODES, "Serve the list of goods as it was some seconds ago."),
    _text("degrade.risk", "automatic", MODES, "Do not ask risk about payments."),
    _text("degrade.statistics", "automatic", MODES, "Serve aggregates as they were some seconds ago."),
    _integer("outbox.poll_interval_ms", 500, 5, 60_000, "ms", "How often the outbox is looked at."),
    _integer("outbox.batch_size_max", 100, 1, 1_000, "", "Events delivered in one call."),
    _integer(
        "events.consumed_kept_days",
        14,
        7,
        3_650,
        "days",
        "Marks of consumed events: an event must not come again after this.",
    ),
    _integer(
        "events.dead_letters_kept_days", 90, 7, 3_650, "days", "Events that nobody replayed are dropped after this."
    ),
    _integer("events.attempts_max", 10, 1, 1_000, "", "An event that failed so often becomes a dead letter."),
    _integer("events.claim_after_ms", 3_000, 10, 600_000, "ms", "Events a consumer has had for longer go to another."),
    _integer(
        "events.stream_length_max",
        100_000,
        100,
        100_000_000,
        "",
        "Events for a longer stream wait in the outbox.",
    ),
    _integer("redis.timeout_ms", 200, 5, 60_000, "ms", "How long Redis may take to answer before it counts as down."),
    _integer("cart.cache_ttl_ms", 60_000, 1, 86_400_000, "ms", "How long an unused cached cart is kept."),
    _integer("usercenter.argon2_time_cost", 1, 1, 16, "", "Passes of argon2id over its memory."),
    _integer("usercenter.argon2_memory_kib", 8_192, 64, 1_048_576, "KiB", "Memory argon2id fills."),
    _integer("usercenter.token_ttl_s", 3_600, 1, 2_592_000, "s", "How long a session token is good."),
    _integer("usercenter.login_delay_max_ms", 60_000, 0, 86_400_000, "ms", "Longest wait after failed log-ins."),
    _text("database.synchronous", "FULL", ("FULL", "NORMAL", "OFF"), "SQLite durability; FULL survives a power cut."),
    _number("trace.sample_share", 0.05, 0.0, 1.0, "", "Share of the requests from outside whose spans are recorded."),
    _integer("database.pool_initial", 2, 0, 1_000, "", "Connections to the server that a replica opens at its start."),
    _integer("database.pool_min", 2, 0, 1_000, "", "Idle connections are closed down to this many."),
    _integer("database.pool_max", 16, 1, 1_000, "", "Connections to the server that a replica has at most."),
    _integer("database.pool_wait_max_ms", 2_000, 1, 60_000, "ms", "Longest wait for a connection; then 503."),
    _integer("database.pool_idle_max_ms", 60_000, 100, 86_400_000, "ms", "A connection idle for longer is closed."),
    _text(
        "database.pool_liveness_check",
        "when_idle",
        ("always", "when_idle", "never"),
        "When a connection is tried out before it is used: at every use, or after a second without.",
    ),
    _text("log.level", "INFO", LEVELS, "The least important level that is logged."),
    _text("log.levels", "", (), "The same for single services and libraries, like gateway=DEBUG, aiohttp=ERROR."),
)

SETTINGS: Final[dict[str, Setting]] = {setting.name: setting for setting in _CATALOGUE}

# Texts with a grammar of their own: what is wrong with one, sentence by sentence.
_FORMATS: Final[dict[str, Callable[[str], list[str]]]] = {
    "gateway.notify_hosts": host_problems,
    "log.levels": level_problems,
    "reporting.storage_url": storage_problems,
    "route.canary": canary.problems,
}

# (shorter, longer): a value of the first that is not below the second makes no sense.
_MUST_BE_LESS: Final = (
    ("gateway.prepare_timeout_ms", "gateway.lease_ms"),
    ("registry.renew_interval_ms", "registry.lease_ms"),
)
_MUST_NOT_EXCEED: Final = (
    ("gateway.retry_base_ms", "gateway.retry_max_ms"),
    ("http.breaker_open_ms", "http.breaker_open_max_ms"),
    ("database.pool_initial", "database.pool_max"),
    ("database.pool_min", "database.pool_max"),
)


def defaults() -> dict[str, SettingValue]:
    """Every setting at its default."""
    return {name: setting.default for name, setting in SETTINGS.items()}


def validate(values: Mapping[str, object]) -> list[str]:
    """All problems of these values, one sentence each; empty when they are good.

    Settings that are left out count with their defaults where two settings have to fit together.
    """
    wrong = {name: problems_of(name, values[name]) for name in sorted(values)}
    problems = [problem for found in wrong.values() for problem in found]
    # A value that is wrong by itself says nothing about those that it would have to fit.
    sound = {name: value for name, value in {**defaults(), **values}.items() if not wrong.get(name)}
    return problems + problems_together(sound)


def normalized(values: Mapping[str, object]) -> dict[str, SettingValue]:
    """The values in the types of the catalogue (lists as tuples, whole numbers of `number` settings as floats).

    Raises ValueError naming all problems.
    """
    problems = validate(values)
    if problems:
        raise ValueError("; ".join(problems))
    return {name: _normalized(SETTINGS[name].kind, value) for name, value in values.items()}


def _normalized(kind: Kind, value: object) -> SettingValue:
    if kind is Kind.INTEGERS:
        assert isinstance(value, list | tuple)  # noqa: S101 - validated above, narrows the type
        return tuple(value)
    if kind is Kind.NUMBER:
        assert isinstance(value, int | float)  # noqa: S101 - validated above, narrows the type
        return float(value)
    assert isinstance(value, int | str)  # noqa: S101 - validated above, narrows the type
    return value


def problems_of(name: str, value: object) -> list[str]:
    """What is wrong with one value on its own."""
    setting = SETTINGS.get(name)
    if setting is None:
        return [f"{name[:NAME_LENGTH_MAX]}: unknown setting"]
    if setting.kind is Kind.INTEGER:
        return _integer_problems(setting, value)
    if setting.kind is Kind.NUMBER:
        return _number_problems(setting, value)
    if setting.kind is Kind.INTEGERS:
        return _integers_problems(setting, value)
    return _text_problems(setting, value)


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer too long to print
        return "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."


def _bounds_problems(setting: Setting, value: float) -> list[str]:
    unit = f" {setting.unit}" if setting.unit else ""
    if setting.minimum is not None and value < setting.minimum:
        return [f"{setting.name}: {_shown(value)} is below the minimum {setting.minimum}{unit}"]
    if setting.maximum is not None and value > setting.maximum:
        return [f"{setting.name}: {_shown(value)} is above the maximum {setting.maximum}{unit}"]
    return []


def _integer_problems(setting: Setting, value: object) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int):
        return [f"{setting.name}: expected a whole number, got {_shown(value)}"]
    return _bounds_problems(setting, value)


def _number_problems(setting: Setting, value: object) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        return [f"{setting.name}: expected a number, got {_shown(value)}"]
    return _bounds_problems(setting, value)


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _integers_problems(setting: Setting, value: object) -> list[str]:
    if not isinstance(value, list | tuple) or len(value) > 100:
        return [f"{setting.name}: expected a list of at most 100 whole numbers, got {_shown(value)}"]
    return [problem for element in value for problem in _integer_problems(setting, element)]


def _text_problems(setting: Setting, value: object) -> list[str]:
    if not isinstance(value, str):
        return [f"{setting.name}: expected a text, got {_shown(value)}"]
    if setting.choices and value not in setting.choices:
        return [f"{setting.name}: expected one of {', '.join(setting.choices)}, got {_shown(value)}"]
    wrong_with = _FORMATS.get(setting.name)
    return [f"{setting.name}: {problem}" for problem in wrong_with(value)] if wrong_with is not None else []


def problems_together(values: Mapping[str, object]) -> list[str]:
    """What does not fit together among values that are each good on their own."""
    problems = []
    for shorter, longer in _MUST_BE_LESS:
        if shorter in values and longer in values and not _comparable(values[shorter]) < _comparable(values[longer]):
            problems.append(f"{longer}: {values[longer]} must exceed {shorter} ({values[shorter]})")
    for smaller, larger in _MUST_NOT_EXCEED:
        if smaller in values and larger in values and _comparable(values[smaller]) > _comparable(values[larger]):
            problems.append(f"{smaller}: {values[smaller]} must not exceed {larger} ({values[larger]})")
    return problems


def _comparable(value: object) -> float:
    assert isinstance(value, int | float)  # noqa: S101 - only settings of kind integer are compared
    return value
