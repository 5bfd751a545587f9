"""What serving problems say: the chips on offer, how replicas may be set up, the traffic, the bounds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, StrictBool, create_model, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.checkpoint import Checkpoint
from optimizer.spec.domains import DEGREE_DOMAINS, FORMAT_CHOICES, Domain, Positive, choices
from optimizer.spec.engine import FIGURES, Engine, Engines, HasEngine, engine_name
from optimizer.spec.flat import HasFormats, HasSplit, flat
from optimizer.spec.quantity import CacheTokens, Tokens, Tokens0, time_in
from optimizer.spec.split import FORMAT
from optimizer.spec.values import RequestsPerS

PositiveFloat = Annotated[float, Field(ge=1e-9, le=1e12)]
NotNegative = Annotated[float, Field(ge=0, le=1e12)]
Milliseconds = Annotated[float, Field(ge=1e-9, le=1e12), time_in("ms")]
Share = Annotated[float, Field(ge=1e-6, le=1)]
Count0 = Annotated[int, Field(ge=0, le=10**7, strict=True)]

Mode = Literal["aggregated", "disaggregated", "separated"]


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


@flat(FIGURES, after="engine")
@flat(FORMAT_CHOICES, after="prefill_batch")
@flat(DEGREE_DOMAINS, after="mix")
class ReplicaSpace(HasEngine, HasSplit, HasFormats):
    """How a replica may be set up, and how pools are planned. Lists are choices, degrees and formats too."""

    mode: choices(Mode) = ("aggregated",)  # type: ignore[valid-type]
    mix: Literal["any", "same"] = "any"
    """'same': one setup for all replicas of a phase; 'any': replicas may differ."""
    batch: Domain | None = None
    """Sequences decoded together; without it every size engines are run at, up to what fits."""
    prefill_batch: Domain = (1,)
    """Prompts prefilled together on a prefill replica."""
    second_tier: choices(StrictBool) = (False,)  # type: ignore[valid-type]
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
    engine: Engines = "trtllm"
    """An engine profile: one that ships, or a file of yours; several are a choice of aggregated replicas."""

    @model_validator(mode="after")
    def _one_engine_hands_over(self) -> "ReplicaSpace":
        if len(self.engines) > 1 and set(self.mode) != {"aggregated"}:
            raise ValueError("engine: several are a choice of aggregated replicas; of others give one")
        if len(names := [engine_name(engine) for engine in self.engines]) != len(set(names)):
            raise ValueError(f"engine: {', '.join(names)} names one twice")
        return self

    @property
    def engines(self) -> tuple[str | Engine, ...]:
        """The engines to choose from."""
        return self.engine if isinstance(self.engine, tuple) else (self.engine,)

    def engine_named(self, name: str) -> str | Engine:
        """One of them, or the only one where a row or a pool names none."""
        return next((own for own in self.engines if engine_name(own) == name), self.engines[0])


S = TypeVar("S", bound=Strict)


def as_stored(space: S, checkpoint: Checkpoint | None) -> S:
    """A space with the formats of a model's checkpoint where it names none itself."""
    own = {"weight_dtype": checkpoint.weight_dtype, "kv_dtype": checkpoint.kv_dtype} if checkpoint else {}
    unsaid = {n: v for n, v in own.items() if v not in (None, FORMAT) and n not in space.model_fields_set}
    return space.changed(**unsaid) if unsaid else space


USUAL_PERCENTILE = 95.0
PERCENTILES = (50.0, 99.9)
"""The least and the most that can be asked for."""
_NO_PERCENTILE = "none"


def _percentile(value: Any) -> Any:
    """A number, or none."""
    if value == _NO_PERCENTILE:
        return value
    low, high = PERCENTILES
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(
            f"{str(value)[:40]} is no percentile of requests; give a number from {low:g} to {high:g}, "
            f"such as {USUAL_PERCENTILE:g}, or {_NO_PERCENTILE} for replicas that are always full"
        )
    return float(value)


Percentile = Annotated[
    float | Literal["none"],
    BeforeValidator(_percentile, json_schema_input_type=float | Literal["none"]),
]


class AtPercentile(Strict):
    """What has a field `percentile`: of requests that come at random, which latencies and bounds are of."""

    if TYPE_CHECKING:
        percentile: Percentile | None = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_none(cls, data: Any) -> Any:
        """YAML's null for a percentile says none, not that nothing was said."""
        if isinstance(data, dict) and "percentile" in data and data["percentile"] is None:
            return data | {"percentile": _NO_PERCENTILE}
        return data

    @property
    def priced_at(self) -> float | None:
        """The percentile that the cost model prices replicas at; None for full replicas."""
        return USUAL_PERCENTILE if self.percentile is None else self.queued_at

    @property
    def queued_at(self) -> float | None:
        """The percentile at which requests queue for what a table states; None for full replicas."""
        return self.percentile if isinstance(self.percentile, float) else None


class Traffic(AtPercentile):
    """Requests that arrive, all of one size."""

    input_tokens: Tokens
    output_tokens: Tokens
    prefix_tokens: Tokens0 = 0
    """Tokens of the prompt that are in the cache already."""
    requests_per_s: RequestsPerS | None = None
    """The rate to serve; left out only when the rate is what is maximised."""
    percentile: Percentile | None = None
    """Of requests that come at random, which latencies and their bounds are of; 'none' for full replicas.

    Unsaid it is 95 where the cost model prices replicas, and none where a table states their figures.
    """


class Requests(Strict):
    """What each request must keep, and each replica."""

    ttft_ms_max: Milliseconds | None = None
    tpot_ms_max: Milliseconds | None = None
    memory_capacity: Share = 1.0
    """Share of each chip's usable memory that a replica may fill."""

    def given(self) -> dict[str, float]:
        """The bounds in force, by name: of requests first, then of the whole, then of shares."""
        found = {name: value for name, value in self.model_dump().items() if value is not None}
        last = {name: found.pop(name) for name in _LAST if name in found}
        return found | last


_LAST = ("requests_per_s_min", "utilisation_max", "memory_capacity")


def bounds_on(
    name: str, base: type[Strict], totals: Mapping[str, bool], held: Sequence[str] = ()
) -> type[Strict]:
    """A model with `<total>_max` and `<held>_min` beside the fields of `base`.

    `totals`: True for one of whole things. `held`: tokens that there must be room for.
    """
    fields: dict[str, Any] = {
        f"{total}_max": ((Count0 if whole else NotNegative) | None, None) for total, whole in totals.items()
    }
    fields |= {f"{tokens}_min": (CacheTokens | None, None) for tokens in held}
    return create_model(name, __base__=base, __doc__=base.__doc__, **fields)
