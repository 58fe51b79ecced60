"""From a history to windows: how often each client operation happened in a segment, and what CPU each process used.

A client operation is a step of a journey; money operations also name the method (`pay.card`), for that decides who is
called. CPU comes from the operating system's accounts, sampled as `cpu_s_per_s` over the time since the sample before.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas

from scenarios.calibrate.deliveries import Delivery, deliveries
from scenarios.calibrate.experiments import Segment
from scenarios.history import GENERATOR, History
from simulator.calibration import CLIENT

MONEY_STEPS = ("pay", "refund")


@dataclass(frozen=True)
class Window:
    """One segment: seconds accounted for, operations by name, CPU seconds by process (all its numbers together).

    `journeys`: how many began. `deliveries`: requests that brought events, by producer and consumer.
    """

    name: str
    duration_s: float
    operations: Mapping[str, int]
    cpu_s: Mapping[str, float]
    journeys: int = 0
    deliveries: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def on_a_machine(self, slower: float) -> Window:
        """The same work on a machine that is not so many times slower."""
        return replace(self, cpu_s={name: cpu_s / slower for name, cpu_s in self.cpu_s.items()})

    @property
    def requests(self) -> int:
        """What the clients sent."""
        return sum(self.operations.values())


def windows(history: History, segments: Sequence[Segment]) -> list[Window]:
    """A window for each segment, pause included."""
    requests, resources, delivered = named_requests(history), samples(history), deliveries(history)
    return [_window(segment, requests, resources, delivered) for segment in segments]


def named_requests(history: History) -> pandas.DataFrame:
    """The requests with `what`, the operation that each is."""
    methods = {arrival.key: arrival.method for arrival in history.plan.arrivals}
    requests = history["requests"]
    rows = zip(requests["step"], requests["operation"], strict=True)
    return requests.assign(what=[f"{step}.{methods[key]}" if step in MONEY_STEPS else step for step, key in rows])


def process_of(name: str) -> str:
    """`gateway` of `gateway-0`, `usercenter+order` of `usercenter-0+order-0`; the generator is `client` everywhere."""
    if name == GENERATOR:
        return CLIENT
    parts = (part.rsplit("-", 1) for part in name.split("+"))
    return "+".join(part[0] if len(part) == 2 and part[1].isdigit() else "-".join(part) for part in parts)


def samples(history: History) -> pandas.DataFrame:
    """The samples with `process` by service and the CPU seconds that each stands for."""
    table = history["resources"].sort_values(["process", "at_s"])
    since_s = table.groupby("process")["at_s"].diff()
    for replica, at_s in _restarts(history):
        mine = table["process"].str.split("+").map(lambda members, replica=replica: replica in members)
        since_s[mine & (table["at_s"] >= at_s) & (table["at_s"] - since_s < at_s)] = math.nan
    # The first sample of a process has its own length only, which is that of any other.
    length_s = since_s.fillna(since_s.median())
    names = table["process"].map(process_of)
    return table.assign(from_s=table["at_s"] - length_s, cpu_s=table["cpu_s_per_s"] * length_s, process=names)


def _restarts(history: History) -> list[tuple[str, float]]:
    """Which replica was started again, and when."""
    table = history["services"]
    again = table[table["event"] == "restarted"]
    return list(zip(again["replica"], again["at_s"], strict=True))


def _window(
    segment: Segment, requests: pandas.DataFrame, resources: pandas.DataFrame, delivered: Sequence[Delivery]
) -> Window:
    """Whole samples only, those whose greater part lies inside: the window is as long as they are."""
    middle_s = (resources["from_s"] + resources["at_s"]) / 2
    inside = resources[(middle_s >= segment.start_s) & (middle_s < segment.until_s)]
    sent = requests[(requests["started_s"] >= segment.start_s) & (requests["started_s"] < segment.until_s)]
    begun_s = requests.groupby("operation")["started_s"].min()
    lengths_s = (inside["at_s"] - inside["from_s"]).groupby(inside["process"]).sum()
    return Window(
        segment.name,
        float(lengths_s.median()) if len(lengths_s) else 0.0,
        dict(Counter(sent["what"])),
        {str(name): float(cpu_s) for name, cpu_s in inside.groupby("process")["cpu_s"].sum().items()},
        int(begun_s.between(segment.start_s, segment.until_s, inclusive="left").sum()),
        Counter((d.producer, d.consumer) for d in delivered if segment.start_s <= d.at_s < segment.until_s),
    )
