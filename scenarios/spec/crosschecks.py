"""Problems between the parts of a scenario: times that cannot be, phases that do not exist, loads that are none."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import pairwise

from scenarios.expectations import Expectation
from scenarios.faults import FAULTS
from scenarios.faults.base import PathFault, aim_problem
from scenarios.faults.crash_at import place_problem
from scenarios.fields import nearest
from scenarios.phases import PhaseWindow, phase_windows
from scenarios.spec.problems import Place
from scenarios.spec.salvage import Salvage, Values
from scenarios.thresholds import JOURNEY_STEPS, Threshold
from scenarios.units import format_duration
from settlement import settings
from settlement.protocol.crashpoints import POINTS_OF
from settlement.topology import REGISTRY_SERVICE, replica_name

Found = Iterator[tuple[Place, str]]
ARRIVALS_MAX = 2_000_000
KNEE_STAGES_MIN = 3


def cross_problems(good: Salvage) -> Found:
    """(place, message) of everything that does not fit together, as far as the parts themselves are good."""
    yield from _stage_problems(good)
    yield from _load_problems(good)
    yield from _time_problems(good)
    yield from _fault_problems(good)
    yield from _downtime_problems(good)
    yield from replica_problems(good.platform.get("replicas", {}))
    yield from setting_problems(good.platform.get("settings", {}))
    yield from _protocol_problems(good)
    yield from _expectation_problems(good)


def load_length_s(good: Salvage) -> float | None:
    """Seconds of the load, if every stage says how long it lasts."""
    lengths = [stage.get("for_s") for stage in good.stages]
    return sum(filter(None, lengths)) if lengths and all(lengths) else None


def run_length_s(good: Salvage) -> float | None:
    """Seconds of the whole run, if it can be told."""
    load_s, recovery_s = load_length_s(good), good.phases.get("recovery_s")
    return None if load_s is None or recovery_s is None else load_s + recovery_s


def _stage_problems(good: Salvage) -> Found:
    kind = good.load.get("kind")
    wanted, other = ("rate_per_s", "users") if kind == "open" else ("users", "rate_per_s")
    names = {"rate_per_s": "rate", "users": "users"}
    for index, stage in enumerate(good.stages if kind else []):
        place: Place = ("load", "stages", index)
        if stage.get(other) is not None:
            yield (*place, names[other]), f"an {kind} load has no {names[other]}; expected {names[wanted]}"
        elif wanted in stage and stage[wanted] is None:
            yield place, f"{names[wanted]} is missing; expected how much load the stage has"


def _load_problems(good: Salvage) -> Found:
    for name in ("mix", "methods"):
        weights = good.load.get(name)
        if weights is not None and sum(weights.values()) <= 0:
            yield ("load", name), "has no weight above zero; expected at least one"
    rates = [(stage.get("rate_per_s"), stage.get("users"), stage.get("for_s")) for stage in good.stages]
    if any((rate is None and users is None) or length is None for rate, users, length in rates):
        return
    arrivals = sum((rate or 0) * (length or 0) for rate, _, length in rates)
    if rates and arrivals == 0 and not any(users for _, users, _ in rates):
        yield ("load", "stages"), "no arrivals at all; expected a rate or users above zero in at least one stage"
    if arrivals > ARRIVALS_MAX:
        yield ("load", "stages"), f"{arrivals:.0f} arrivals are too many; expected at most {ARRIVALS_MAX}"


def _time_problems(good: Salvage) -> Found:
    load_s, warmup_s = load_length_s(good), good.phases.get("warmup_s")
    if load_s is not None and warmup_s is not None and warmup_s >= load_s:
        yield (
            ("phases", "warmup"),
            f"{format_duration(warmup_s)} leaves nothing of the load; expected less than {format_duration(load_s)}",
        )


def _fault_problems(good: Salvage) -> Found:
    load_s, run_s = load_length_s(good), run_length_s(good)
    for index, (fault, written) in enumerate(zip(good.faults, good.written_faults, strict=True)):
        place: Place = ("faults", index)
        if not fault:
            continue
        if load_s is not None and "at_s" in fault and fault["at_s"] >= load_s:
            yield (*place, "at"), f"{format_duration(fault['at_s'])} is after the end of the load; " + _before(load_s)
        elif run_s is not None and "end_s" in fault and fault["end_s"] > run_s:
            key = "restart_after" if "restart_after_s" in fault else "for"
            yield (
                (*place, key),
                f"the fault would end at {format_duration(fault['end_s'])}, after the run's end; expected at most "
                f"{format_duration(run_s)} (load and recovery)",
            )
        yield from ((place, text) for text in _aim_problems(fault, written, good.platform) if text)


def _before(load_s: float) -> str:
    return f"expected a time before {format_duration(load_s)}"


def _aim_problems(fault: Values, written: Values, platform: Values) -> Iterator[str | None]:
    if issubclass(FAULTS[fault["kind"]], PathFault):
        yield aim_problem(written)
    if fault["kind"] == "crash_at":
        yield place_problem(fault)
    if {"service", "replica"} <= set(fault) and "replicas" in platform:
        count = platform["replicas"].get(fault["service"], 1)
        if fault["replica"] >= count:
            yield f"there is no {replica_name(fault['service'], fault['replica'])}; expected a replica below {count}"


def _downtime_problems(good: Salvage) -> Found:
    """A replica that is down cannot be hit again: which of the two faults it would be is nobody's guess.

    Neighbours that share a process go down together in some worlds only; those refuse (`worlds.shared_processes`).
    """
    down = sorted(
        (victim, fault["at_s"], fault["end_s"], index)
        for index, fault in enumerate(good.faults)
        if {"at_s", "end_s"} <= set(fault) and not _waits(fault) and (victim := _victim(fault))
    )
    for (earlier, _, end_s, first), (later, at_s, _, second) in pairwise(down):
        if earlier == later and at_s < end_s:
            yield (
                ("faults", second, "at"),
                f"{later} is down until {format_duration(end_s)} by faults.{first}; expected a later time",
            )


def _waits(fault: Values) -> bool:
    """Whether it is a crash that waits for its moment: when it will be down is not known beforehand."""
    return fault["kind"] == "crash_at" and fault.get("for_s") is not None


def _victim(fault: Values) -> str | None:
    """The replica or the backing service that goes down."""
    if {"service", "replica"} <= set(fault):
        return replica_name(fault["service"], fault["replica"])
    victim: str | None = fault.get("of")
    return victim


def replica_problems(counts: Mapping[str, object]) -> Found:
    """Numbers of replicas that are good as numbers but that no platform can have."""
    count = counts.get(REGISTRY_SERVICE, 1)
    if isinstance(count, int) and count > 1:
        place: Place = ("platform", "replicas", REGISTRY_SERVICE)
        yield place, "there is one, by which everybody finds everybody; expected 1"


def setting_problems(values: Values) -> Found:
    """Unknown settings, values out of bounds, values that do not fit together."""
    sound = settings.defaults()
    for name, value in values.items():
        place: Place = ("platform", "settings", name)
        if name not in settings.SETTINGS:
            yield place, f"unknown setting; {nearest(name, settings.SETTINGS)}expected one of {_settings_like(name)}"
            continue
        problems = settings.problems_of(name, value)
        if problems:
            sound.pop(name)
        else:
            sound[name] = value
        yield from ((place, problem.removeprefix(f"{name}: ")) for problem in problems)
    for problem in settings.problems_together(sound):
        changed = [name for name in values if name in problem]
        yield ("platform", "settings", *changed[:1]), problem


def _protocol_problems(good: Salvage) -> Found:
    if "gateway.protocol" in good.platform.get("settings", {}):
        yield ("platform", "settings", "gateway.protocol"), "is the lab's to set; expected platform.protocol instead"
    protocol = good.platform.get("protocol")
    for index, fault in enumerate(good.faults):
        point = fault.get("point")
        if protocol and point and point not in POINTS_OF[protocol]:
            near = get_close_matches(point, POINTS_OF[protocol], n=3, cutoff=0.5) or POINTS_OF[protocol][:1]
            yield (
                ("faults", index, "point"),
                f"the protocol {protocol} never passes {point}; expected one of its own, like {', '.join(near)}",
            )


def _settings_like(name: str) -> str:
    """The settings of the same service, or of all when there is no such service."""
    service = name.partition(".")[0]
    of_service = [known for known in settings.SETTINGS if known.startswith(f"{service}.")]
    return ", ".join(of_service or settings.SETTINGS)


def _expectation_problems(good: Salvage) -> Found:
    yield from _repeated_expectations(good.expect)
    protocol = good.platform.get("protocol")
    if protocol and good.expect and not any(each is None or each.is_asked_of(protocol) for each in good.expect):
        yield ("expect",), f"nothing is asked of {protocol}; expected something without `under`, or under {protocol}"
    windows = _windows(good)
    for index, expectation in enumerate(good.expect):
        if expectation is not None and isinstance(expectation.check, Threshold):
            place: Place = ("expect", index)
            problems = _threshold_problems(expectation.check, good, windows)
            yield from ((place, text) for text in problems if text)


def _repeated_expectations(expect: list[Expectation | None]) -> Found:
    before: dict[Threshold | str, list[tuple[int, Expectation]]] = {}
    for index, expectation in enumerate(expect):
        if expectation is None:
            continue
        earlier = before.setdefault(expectation.meaning, [])
        found = next(((number, each) for number, each in earlier if each.meets(expectation)), None)
        earlier.append((index, expectation))
        if found is None:
            continue
        if found[1].negated == expectation.negated:
            yield ("expect", index), f"asks the same as expect.{found[0]}; expected once"
        else:
            yield ("expect", index), f"is the opposite of expect.{found[0]}; expected one of them, or other protocols"


def _windows(good: Salvage) -> list[PhaseWindow] | None:
    times = (load_length_s(good), run_length_s(good), good.phases.get("warmup_s"))
    if None in times or not all("end_s" in fault for fault in good.faults):
        return None
    lengths = [stage["for_s"] for stage in good.stages]
    spans = [(fault["at_s"], fault["end_s"]) for fault in good.faults]
    return phase_windows(lengths, good.phases["warmup_s"], good.phases["recovery_s"], spans)


def _threshold_problems(threshold: Threshold, good: Salvage, windows: list[PhaseWindow] | None) -> Iterator[str | None]:
    if windows is not None:
        yield _phase_problem(threshold, windows)
    if threshold.metric == "recovery.time" and not good.written_faults:
        yield "there is nothing to recover from; expected at least one fault"
    if (
        threshold.metric == "throughput.knee"
        and len({stage.get("rate_per_s") for stage in good.stages}) < KNEE_STAGES_MIN
    ):
        yield f"a knee cannot be seen; expected at least {KNEE_STAGES_MIN} stages of different rates"
    yield _subject_problem(threshold, good)


def _phase_problem(threshold: Threshold, windows: list[PhaseWindow]) -> str | None:
    names = [window.name for window in windows]
    wanted = threshold.during or "load"
    if wanted == "load" and wanted not in names:
        return None  # the warm-up left nothing of it, which is reported as the warm-up's problem
    if wanted not in names:
        return f"no phase {wanted!r} in this run; {nearest(wanted, names)}expected one of {', '.join(names)}"
    window = windows[names.index(wanted)]
    length_s = window.end_s - window.start_s
    if threshold.sustained_s and threshold.sustained_s > length_s:
        return (
            f"for {format_duration(threshold.sustained_s)} is longer than the phase {wanted}; "
            f"expected at most {format_duration(length_s)}"
        )
    return None


def _subject_problem(threshold: Threshold, good: Salvage) -> str | None:
    mix = good.load.get("mix")
    if mix is None or not threshold.metric.startswith("latency."):
        return None
    subject = threshold.metric.split(".")[1]
    played = {name for journey, weight in mix.items() if weight > 0 for name in (journey, *JOURNEY_STEPS[journey])}
    if not played or subject in played:
        return None
    names = ", ".join(sorted(played))
    return f"nobody does {subject!r} in this load; expected one of {names}, or a journey added to load.mix"
