"""A deployment question: how many chips, of which kind, set up how, for this traffic within these limits."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.documents import Documents
from optimizer.spec.dtypes import KvDtype, WeightDtype
from optimizer.spec.engine import EngineName
from optimizer.spec.problem import Domain, HostMs, Positive, _choices
from optimizer.spec.quantity import Tokens, Tokens0, time_in
from optimizer.spec.values import RequestsPerS

PositiveFloat = Annotated[float, Field(ge=1e-9, le=1e12)]
NotNegative = Annotated[float, Field(ge=0, le=1e12)]
Milliseconds = Annotated[float, Field(ge=1e-9, le=1e12), time_in("ms")]
Share = Annotated[float, Field(ge=1e-6, le=1)]
Count0 = Annotated[int, Field(ge=0, le=10**7, strict=True)]

Mode = Literal["aggregated", "disaggregated", "separated"]
MINIMIZE = ("chips", "nodes", "usd_per_hour", "power_w")
MAXIMIZE = ("requests_per_s", "output_tokens_per_s")


class Offer(Strict):
    """Chips of one kind that may be used."""

    chip: str
    max_count: Count0 | None = None
    """Chips there are; without it, as many as wanted."""
    usd_per_chip_hour: PositiveFloat | None = None
    """A price of your own; without it the chip file's."""
    power_w: PositiveFloat | None = None
    """Watts per chip of your own; without it the chip file's."""
    node: Positive | None = None
    """Chips wired together: what is priced as inside one domain lies in one; without it the chip's domain."""


def _as_offers(value: Any) -> Any:
    items = value if isinstance(value, list | tuple) else [value]
    return tuple({"chip": item} if isinstance(item, str) else item for item in items)


Offers = Annotated[
    tuple[Offer, ...],
    BeforeValidator(_as_offers, json_schema_input_type=str | Offer | list[str | Offer]),
    Field(min_length=1),
]


class ReplicaSpace(Strict):
    """How a replica may be set up, and how pools are planned. Lists are choices."""

    mode: _choices(Mode) = ("aggregated",)  # type: ignore[valid-type]
    mix: Literal["any", "same"] = "any"
    """'same': one setup for all replicas of a phase; 'any': replicas may differ."""
    tensor_parallel: Domain = (1, 2, 4, 8)
    pipeline_parallel: Domain = (1,)
    expert_parallel: Domain = (1,)
    data_parallel: Domain = (1,)
    batch: Domain | None = None
    """Sequences decoded together; without it every size engines are run at, up to what fits."""
    prefill_batch: Domain = (1,)
    """Prompts prefilled together on a prefill replica."""
    weight_dtype: _choices(WeightDtype) = ("bf16",)  # type: ignore[valid-type]
    kv_dtype: _choices(KvDtype) = ("bf16",)  # type: ignore[valid-type]
    second_tier: _choices(StrictBool) = (False,)  # type: ignore[valid-type]
    """Whether weights and cache that a chip cannot hold wait in its second tier of memory."""
    microbatches: Domain = (2, 3, 4)
    """Parts of a batch that follow each other between attention and experts, where these are separated."""
    prefill_utilisation: Share = 1.0
    """Share of a prefill replica's rate that is planned with."""
    decode_utilisation: Share = 1.0
    prefill_ttft_factor: Annotated[float, Field(ge=1, le=100)] = 1.0
    """TTFT under load over the prefill's own time, on prefill replicas."""
    draft_tokens: Annotated[int, Field(ge=0, le=64)] = 0
    """Tokens drafted for each sequence and verified together (speculative decoding, MTP)."""
    draft_acceptance: Share = 0.8
    draft_cost: Annotated[float, Field(ge=0, le=10)] = 0.05
    """Cost of drafting one token, in plain decode steps."""
    engine: EngineName = "trtllm"
    """An engine profile: one that ships, or a file of yours."""
    host_ms: HostMs | None = None
    """In place of the engine's own."""
    reserve_gib: Annotated[float, Field(ge=0, le=1024)] | None = None


class Traffic(Strict):
    """Requests that arrive, all of one size."""

    input_tokens: Tokens
    output_tokens: Tokens
    prefix_tokens: Tokens0 = 0
    """Tokens of the prompt that are in the cache already."""
    requests_per_s: RequestsPerS | None = None
    """The rate to serve; left out only when the rate is what is maximised."""
    percentile: Annotated[float, Field(gt=0, lt=100)] | None = None
    """Hold ttft_ms_max at this percentile of requests, by an M/M/1 queue in front of each replica."""


class Bounds(Strict):
    """What a deployment must keep. Every bound that is given has its name in conflicts."""

    ttft_ms_max: Milliseconds | None = None
    tpot_ms_max: Milliseconds | None = None
    chips_max: Count0 | None = None
    nodes_max: Count0 | None = None
    usd_per_hour_max: NotNegative | None = None
    power_w_max: NotNegative | None = None
    requests_per_s_min: RequestsPerS | None = None
    utilisation_max: Share | None = None
    """Demand over capacity, of every pool."""
    memory_capacity: Share = 1.0
    """Share of each chip's usable memory that a replica may fill."""

    def given(self) -> dict[str, float]:
        """The bounds in force, by name."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class DeploymentProblem(Strict):
    """One question about a fixed model and its traffic."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    question: str = ""
    documents: Documents = Documents()
    architecture: str | None = None
    hardware: Offers
    deployment: ReplicaSpace = ReplicaSpace()
    workload: Traffic
    performance_table: _choices(str) | None = None  # type: ignore[valid-type]
    """CSV files of replica configurations, used instead of the cost model."""
    performance_table_rows: dict[str, str | int | float] = {}
    """Only rows that have these values in these columns."""
    minimize: _choices(Literal["chips", "nodes", "usd_per_hour", "power_w"]) | None = None  # type: ignore[valid-type]
    maximize: Literal["requests_per_s", "output_tokens_per_s"] | None = None
    constraints: Bounds = Bounds()

    @model_validator(mode="after")
    def _askable(self) -> "DeploymentProblem":
        if (self.minimize is None) == (self.maximize is None):
            raise ValueError(
                f"give either minimize ({', '.join(MINIMIZE)}, or a list) or maximize ({', '.join(MAXIMIZE)})"
            )
        if self.minimize is not None and self.demand is None:
            raise ValueError("workload.requests_per_s: give the traffic that must be served")
        if self.architecture is None and self.performance_table is None:
            raise ValueError("give architecture (a model's name), or performance_table")
        if self.workload.percentile is not None and self.constraints.ttft_ms_max is None:
            raise ValueError("workload.percentile: needs constraints.ttft_ms_max, which it is about")
        named = [offer.chip for offer in self.hardware]
        if len(set(named)) < len(named):
            raise ValueError("hardware: the same chip is listed twice; give it one max_count")
        return self

    @property
    def demand(self) -> float | None:
        """Requests per second that must be served."""
        rates = [r for r in (self.workload.requests_per_s, self.constraints.requests_per_s_min) if r]
        return max(rates) if rates else None

    @property
    def objectives(self) -> tuple[tuple[str, int], ...]:
        """(quantity, +1 to minimise or -1 to maximise), the most important first."""
        if self.minimize is not None:
            return tuple((name, 1) for name in self.minimize)
        return (("requests_per_s", -1),)
