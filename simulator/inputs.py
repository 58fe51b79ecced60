"""What the simulator is told: the same plan as every other world, in the simulator's own words.

The lab's `Plan` is converted by its simulated world; the simulator itself knows nothing of scenarios, files or YAML.
Times are seconds from the moment the first arrival is possible.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from settlement import settings as catalogue
from settlement.policies.autoscaler import Scaling
from settlement.topology import DEFAULT_TOPOLOGY
from simulator.calibration import Calibration
from simulator.placement import TOGETHER, Placement


@dataclass(frozen=True)
class Arrival:
    """One journey of an open load. `key` is the stem of its idempotency keys.

    `user_id`: whose it is; 0: that of whichever user of the pool executes it.
    """

    number: int
    at_s: float
    journey: str
    method: str
    goods_id: int
    count: int
    key: str
    user_id: int = 0


@dataclass(frozen=True)
class Attempt:
    """One try to move money for a purchase. kind: pay | refund. Equal keys are one operation, asked for in parallel.

    A payment is asked for `after_s` after the order exists; a refund so long after the first payment succeeded.
    `patience_s`: when the client gives up, not knowing; None: it asks until it is told.
    """

    key: str
    kind: str
    after_s: float
    method: str = "card"
    patience_s: float | None = None


@dataclass(frozen=True)
class Purchase:
    """One order of `count` pieces of `goods_id`, and everything that its user tries with it. `key` names it."""

    key: str
    at_s: float
    user_id: int
    goods_id: int
    count: int
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Fault:
    """One fault; `parameters` carry their units in their names (`delay_ms`, `restart_after_s`)."""

    id: str
    kind: str
    at_s: float
    until_s: float
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """`users` at work during [start_s, end_s) of a closed load."""

    start_s: float
    end_s: float
    users: int


@dataclass(frozen=True)
class Load:
    """How clients behave. `pool`: most journeys at once; `timeout_s`: an attempt; `deadline_s`: a money operation."""

    kind: str = "open"
    pool: int = 100
    timeout_s: float = 5.0
    deadline_s: float = 10.0
    think_s: float = 1.0
    stages: tuple[Stage, ...] = ()
    mix: dict[str, float] = field(default_factory=dict)
    methods: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Autoscaling:
    """Replicas of `service` (and of what shares its process) come and go as `settlement.policies.autoscaler` says.

    The metric is utilisation: cores used by a replica, as a share of its quota or of one core.
    """

    service: str
    scaling: Scaling


@dataclass(frozen=True)
class SimulationInput:
    """Everything a run depends on: equal inputs give equal histories, byte for byte.

    `user_journeys`: what closed user number n does, one journey after the other (open loads have `arrivals` instead).
    `purchases` are what rival clients do, who share accounts, orders and keys; beside any load.
    `placement`: which processes share a host. `replicas` is how many there are at first, `autoscaling` who changes it.
    """

    seed: int
    duration_s: float
    load_s: float
    arrivals: tuple[Arrival, ...]
    calibration: Calibration
    faults: tuple[Fault, ...] = ()
    load: Load = Load()
    topology: str = DEFAULT_TOPOLOGY
    replicas: dict[str, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    user_journeys: Callable[[int], Iterator[Arrival]] | None = None
    purchases: tuple[Purchase, ...] = ()
    placement: Placement = TOGETHER
    autoscaling: Autoscaling | None = None

    def setting(self, name: str) -> Any:
        """The runtime setting `name`: the scenario's value or the platform's default."""
        return self.settings.get(name, catalogue.SETTINGS[name].default)

    def setting_s(self, name: str) -> float:
        """A setting in milliseconds, as seconds."""
        return float(self.setting(name)) / 1000
