"""What things cost: CPU time of an endpoint, of a call, of a commit; latency of a hop. Read from `calibration/*.json`.

Times in the files are milliseconds of one core; `variation` is the coefficient of variation of the draws around them.
"""

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

DEFAULT_ENDPOINT = "default"


@dataclass(frozen=True)
class Calibration:
    """The model's constants. `endpoint_cpu_s`: service -> route -> seconds, with a `default` route each."""

    cores: int
    hop_latency_s: float
    hop_variation: float
    commit_s: float
    call_cpu_s: float
    client_request_cpu_s: float
    endpoint_variation: float
    endpoint_cpu_s: dict[str, dict[str, float]]
    startup_s: float
    rss_bytes: int

    def cpu_s(self, service: str, route: str) -> float:
        """Mean CPU seconds of one request to `route` of `service`."""
        endpoints = self.endpoint_cpu_s[service]
        return endpoints.get(route, endpoints[DEFAULT_ENDPOINT])


def load(path: Path | None = None) -> Calibration:
    """The calibration in `path`, or the shipped default. Raises KeyError for a missing figure."""
    text = path.read_text() if path else (resources.files("simulator") / "calibration" / "default.json").read_text()
    raw = json.loads(text)
    endpoints = {
        service: {route: cpu_ms / 1000 for route, cpu_ms in routes.items()}
        for service, routes in raw["endpoint_cpu_ms"].items()
    }
    return Calibration(
        cores=raw["cores"],
        hop_latency_s=raw["hop_latency_ms"] / 1000,
        hop_variation=raw["hop_variation"],
        commit_s=raw["commit_ms"] / 1000,
        call_cpu_s=raw["call_cpu_ms"] / 1000,
        client_request_cpu_s=raw["client_request_cpu_ms"] / 1000,
        endpoint_variation=raw["endpoint_variation"],
        endpoint_cpu_s=endpoints,
        startup_s=raw["startup_s"],
        rss_bytes=raw["rss_bytes"],
    )
