"""A scenario that was found good: the platform, the load, the faults, and what is expected of it all."""

from io import StringIO
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from ruamel.yaml import YAML

from scenarios import expectations
from scenarios.faults import AnyFault
from scenarios.fields import Duration, Model, Moment, Rate, ServiceName, TopologyName, Weight, one_of
from scenarios.thresholds import JOURNEYS, NAMED_EXPECTATIONS
from settlement.protocol import shipped
from settlement.topology import DEFAULT_TOPOLOGY

METHODS = ("card", "wallet", "balance")
PROTOCOLS = tuple(shipped.PROTOCOLS)
REPLICAS_MAX = 16


def _expectation(value: object) -> expectations.Expectation:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not an expectation; expected {expectations.GRAMMAR}")
    return expectations.parse(value)


Expectation = Annotated[
    expectations.Expectation,
    BeforeValidator(_expectation),
    PlainSerializer(lambda expectation: expectation.text),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(NAMED_EXPECTATIONS)},
                *({"type": "string", "pattern": pattern} for pattern in expectations.json_patterns()),
            ]
        }
    ),
]
JourneyName = Annotated[str, BeforeValidator(one_of("journey", JOURNEYS))]
MethodName = Annotated[str, BeforeValidator(one_of("payment method", METHODS))]
ReplicaCount = Annotated[int, Field(ge=1, le=REPLICAS_MAX)]
ProtocolName = Annotated[str, BeforeValidator(one_of("protocol", PROTOCOLS)), WithJsonSchema({"enum": list(PROTOCOLS)})]


class Platform(Model):
    """The platform under test."""

    topology: TopologyName = Field(default=DEFAULT_TOPOLOGY, description="which services share a process")
    protocol: ProtocolName = Field(default="two_phase", description="how a payment is made atomic")
    replicas: dict[ServiceName, ReplicaCount] = Field(default={}, description="processes of a service; 1 if not named")
    settings: dict[str, Any] = Field(default={}, description="changed settings, like gateway.prepare_timeout_ms: 500")


class Stage(Model):
    """A stretch of the load: `rate` in an open load, `users` in a closed one."""

    rate_per_s: Rate | None = Field(default=None, alias="rate", description="open load: arrivals per second")
    users: int | None = Field(default=None, ge=0, le=10_000, description="closed load: users at work")
    for_s: Duration = Field(alias="for", description="how long it lasts")


class Load(Model):
    """Who comes, and how often."""

    kind: Literal["open", "closed"] = Field(default="open", description="open: arrivals per second; closed: users")
    arrivals: Literal["poisson", "uniform"] = Field(default="poisson", description="how open arrivals are spread")
    mix: dict[JourneyName, Weight] = Field(
        default={"pay": 70, "browse": 20, "refund": 10}, description="weights of journeys"
    )
    methods: dict[MethodName, Weight] = Field(
        default={"card": 50, "wallet": 30, "balance": 20}, description="weights of payment methods"
    )
    stages: list[Stage] = Field(min_length=1, max_length=200, description="one after the other")
    think_s: Moment = Field(default=1.0, alias="think", description="closed load: a user's pause between journeys")
    pool: int = Field(default=100, ge=1, le=10_000, description="most journeys at once; arrivals beyond it are dropped")
    timeout_s: Duration = Field(
        default=5.0, alias="timeout", description="a client gives up an HTTP attempt after this"
    )
    deadline_s: Duration = Field(
        default=10.0, alias="deadline", description="a client gives up a payment, with all its retries, after this"
    )


class Phases(Model):
    """The parts of the run that are no ordinary load."""

    warmup_s: Moment = Field(default=0.0, alias="warmup", description="first part of the load, left out of the metrics")
    recovery_s: Moment = Field(
        default=10.0, alias="recovery", description="time after the load for unfinished business"
    )


class Scenario(Model):
    """One question to the platform, with the load, the faults and the expectations that answer it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$", description="lower case, digits and dashes")
    question: str = Field(min_length=1, max_length=500, description="the question that a run answers")
    platform: Platform = Field(default=Platform(), description="the platform under test")
    load: Load = Field(description="who comes, and how often")
    phases: Phases = Field(default=Phases(), description="warm-up and recovery")
    faults: list[Annotated[AnyFault, Field(discriminator="kind")]] = Field(
        default=[], max_length=200, description="what goes wrong, and when"
    )
    expect: list[Expectation] = Field(
        min_length=1,
        max_length=200,
        description=f"atomic, money_conserved, client_truth and so on: {expectations.GRAMMAR}",
    )

    @property
    def load_s(self) -> float:
        """Seconds during which arrivals are possible."""
        return sum(stage.for_s for stage in self.load.stages)

    @property
    def duration_s(self) -> float:
        """Seconds of the whole run: load and recovery."""
        return self.load_s + self.phases.recovery_s

    def to_yaml(self) -> str:
        """The scenario as a file: overrides applied, defaults written out. Loading it gives an equal scenario."""
        text = StringIO()
        writer: Any = YAML(typ="safe", pure=True)  # its attributes are typed by their first values
        writer.default_flow_style = False
        writer.width = 110
        writer.sort_base_mapping_type_on_output = False
        writer.dump(self.model_dump(mode="json", by_alias=True, exclude_none=True), text)
        return text.getvalue()
