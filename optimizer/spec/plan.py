"""A plan of any kind of problem: what runs, on what, set up how, and what it reaches."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer, model_serializer, model_validator

from optimizer.spec.architecture import dimensions_of, usual
from optimizer.spec.base import Said, Strict
from optimizer.spec.domains import DEGREE_VALUES
from optimizer.spec.flat import HasFormats, HasSplit, flat
from optimizer.spec.split import FORMATS
from optimizer.spec.training import TrainingSetup


class Dimensions(Strict):
    """The dimensions of an architecture with one kind of layer, those of its halves flat among the others."""

    n_layers: int
    d_model: int
    mixer: str = usual("mixer")
    """Kind of mixer, mentioned where it is not the usual one."""
    ffn: str = usual("ffn")
    """Kind of feed-forward network."""
    shape: dict[str, int]
    """The dimensions of both, by name."""
    vocab_size: int
    tied_embeddings: bool
    n_params: int
    n_active_params: int

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "shape" in data:
            return data
        kinds = {role: data.get(role, usual(role)) for role in ("mixer", "ffn")}
        shape = [name for role, kind in kinds.items() for name in dimensions_of(role, kind) if name in data]
        return {k: v for k, v in data.items() if k not in shape} | {"shape": {n: data[n] for n in shape}}

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in type(self).model_fields:
            if name == "shape":
                found |= self.shape
            elif name not in ("mixer", "ffn") or getattr(self, name) != usual(name):
                found[name] = getattr(self, name)
        return found

    def __getattr__(self, name: str) -> Any:
        shape = self.__dict__.get("shape", {})
        if name not in shape:
            raise AttributeError(f"no dimension {name}; there are {', '.join(shape)}")
        return shape[name]

    @property
    def decided(self) -> dict[str, Any]:
        """Everything but what follows from the rest or is given: kinds where unusual, depth, width, shape."""
        kinds = {role: getattr(self, role) for role in ("mixer", "ffn") if getattr(self, role) != usual(role)}
        return {"n_layers": self.n_layers, "d_model": self.d_model, **kinds, **self.shape}


def _pairs(value: Any) -> Any:
    return tuple(value.items()) if isinstance(value, dict) else value


ByName = Annotated[
    tuple[tuple[str, float], ...],
    BeforeValidator(_pairs, json_schema_input_type=dict[str, float]),
    PlainSerializer(dict, return_type=dict[str, float]),
]
"""Values by name, which a plan can be told apart by."""


class Part(Said):
    """What a pool serves of one bucket of requests."""

    input_tokens: int
    output_tokens: int
    requests_per_s: float
    batch: int
    in_flight: float = 0.0
    """As `Pool.in_flight`, of a replica that has this bucket alone."""
    ttft_ms: float | None
    tpot_ms: float | None


@flat(dict.fromkeys(FORMATS, (str, "")), after="batch")
@flat(DEGREE_VALUES, after="replicas")
class Pool(Said, HasSplit, HasFormats):
    """Equal replicas: of a plan, of a service of a fleet, or one stage of a pipeline.

    It shows the figures that its kind of plan has; those that its phase has not, or nobody stated, are null.
    """

    service: str = ""
    model: str = ""
    """Where a service of a fleet has several to choose from."""
    group: int = 0
    """Of a stage: the group of chips it belongs to, from 1."""
    phase: Literal["aggregated", "prefill", "decode"] = "aggregated"
    chip: str
    replicas: int = 1
    batch: int = 1
    in_flight: float = 0.0
    """Sequences on each replica in the mean, where its figures are a percentile of requests at random times.

    Slots for `batch` of them are then enough. 0 where its figures are those of a replica that is always full.
    """
    engine: str = ""
    """Where the problem lets several be chosen."""
    checkpoint: str = ""
    """How the model's own checkpoint stores its weights, where they stay so."""
    layers: tuple[int, ...] = ()
    """Of a stage: layers of each kind, in the order of the model's groups."""
    ms: float | None = None
    """Of a stage: its turn in the steady state; in training, for one microbatch."""
    recompute: str = ""
    """Of a stage in training: what its backward pass computes again."""
    zero_stage: int = 0
    """Of a stage in training: what it shards over its replicas."""
    chips: int = 0
    """Of the kind `chip`, all replicas together."""
    expert_chip: str | None = None
    """The kind that holds the routed experts, where these lie apart."""
    expert_chips: int = 0
    microbatches: int = 1
    domains: str = ""
    """Chips of one replica in each scale-up domain, as its figures suppose: 8, 4+2, 2x8."""
    requests_per_s: float = 0.0
    """Rate of all its replicas as measured or predicted."""
    utilisation: float = 0.0
    """Share of that rate in use at the demand; of a stage, its time over the slowest stage's."""
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    sequences_at_demand: int | None = None
    """In flight on each replica at the traffic asked for, where that leaves it room."""
    ttft_at_demand_ms: float | None = None
    tpot_at_demand_ms: float | None = None
    """Means, of requests that come at random."""
    ttft_p50_at_demand_ms: float | None = None
    tpot_p50_at_demand_ms: float | None = None
    ttft_p95_at_demand_ms: float | None = None
    tpot_p95_at_demand_ms: float | None = None
    ttft_p99_at_demand_ms: float | None = None
    tpot_p99_at_demand_ms: float | None = None
    memory_gib: float | None = None
    hbm_usable_gib: float | None = None
    expert_memory_gib: float | None = None
    """On each expert chip."""
    second_tier_gib: float | None = None
    """Of weights and cache on each chip, waiting in its slower memory."""
    room_for: ByName = ()
    """Tokens that its caches have room for, by metric: of all its replicas together, or of each."""
    usd_per_hour: float | None = None
    power_w: float | None = None
    source: str = ""
    parts: tuple[Part, ...] = ()
    """Of a fleet: what it serves of each size of request."""

    @property
    def runs(self) -> str:
        """Its service, and which of the service's models where there are several."""
        return f"{self.service}/{self.model}" if self.model else self.service


class Deployment(Strict):
    """How the plan runs."""

    pools: tuple[Pool, ...]


class Plan(Said):
    """One plan with its metrics. It shows what its kind of problem decides."""

    architecture: Dimensions | str | None = None
    """Dimensions where they were free, else the name of a model."""
    deployment: Deployment | None = None
    batch: int | None = None
    """Of a pipeline: sequences in one stage at a time."""
    setup: TrainingSetup | None = None
    """Of a training run."""
    metrics: dict[str, float]

    @property
    def designed(self) -> bool:
        """Whether its architecture is given by dimensions, rather than named."""
        return isinstance(self.architecture, Dimensions)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Its pools; none where nothing is deployed."""
        return self.deployment.pools if self.deployment else ()

    @property
    def dimensions(self) -> Dimensions:
        """Its dimensions; TypeError where a model is only named."""
        if not isinstance(self.architecture, Dimensions):
            raise TypeError("the plan is of a model that is named, and has no free dimensions")
        return self.architecture
