"""Which metrics the services expose, found out by running them: name, type, labels, meaning, and who has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from settlement.topology import SERVICES

from ..settlement.conftest import Cluster

# Nothing listens there: what Redis brings is exposed whether it answers or not.
REDIS_DOWN = "redis://127.0.0.1:1/0"


@dataclass(frozen=True)
class Exposed:
    """One metric; a counter's name ends in `_total`, a histogram has `_bucket`, `_sum` and `_count` series."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str

    def series(self) -> set[str]:
        """The names that queries may use."""
        endings = ("_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)
        return {self.name + ending for ending in endings}


async def exposed_by_all(cluster: Cluster) -> dict[Exposed, tuple[str, ...]]:
    """Every metric with the services that expose it."""
    found: dict[Exposed, list[str]] = {}
    for service in SERVICES:
        replica = await cluster.start(service, settings={"trace.sample_share": 0.0}, redis_url=REDIS_DOWN)
        await cluster.eventually(lambda replica=replica: _lag(replica))
        for metric in _metrics(replica.chassis.metrics.registry):
            found.setdefault(metric, []).append(service)
    return {metric: tuple(services) for metric, services in sorted(found.items(), key=lambda pair: pair[0].name)}


def _lag(replica: Any) -> bool:
    return any(metric.name == "paylab_event_loop_lag_seconds" for metric in _metrics(replica.chassis.metrics.registry))


def _metrics(registry: Any) -> list[Exposed]:
    return [metric for collector in set(registry._collector_to_names) for metric in _of(collector)]


def _of(collector: Any) -> list[Exposed]:
    if hasattr(collector, "_labelnames"):
        labels = tuple(sorted(collector._labelnames))
        return [_named(collector._name, collector._type, labels, collector._documentation)]
    return [_named(family.name, family.type, (), family.documentation) for family in collector.collect()]


def _named(name: str, kind: str, labels: tuple[str, ...], meaning: str) -> Exposed:
    ending = "_total" if kind == "counter" and not name.endswith("_total") else ""
    return Exposed(name + ending, kind, labels, meaning.rstrip("."))
