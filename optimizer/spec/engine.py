"""A serving engine as the cost model sees it: what it adds to the kernels, each figure with its source."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, StrictBool, Tag, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.engine_memory import DryRun, Headroom
from optimizer.spec.engine_words import SPELLINGS
from optimizer.spec.quantity import Fraction, Tokens, time_in

Small = Annotated[float, Field(ge=0, le=1e6)]
Padded = Literal["heads", "kv_heads", "ffn", "experts"]
"""What an engine may round up, or share unequally: query heads, key-value heads, widths, whole experts."""


def _units(given: Any) -> Any:
    """Names alone are shared one by one."""
    names = isinstance(given, list | tuple) and all(isinstance(name, str) for name in given)
    return dict.fromkeys(given, 1) if names else given


Units = Annotated[dict[Padded, Annotated[int, Field(ge=1, le=4096)]], BeforeValidator(_units)]


class Engine(Strict):
    """Software that runs a replica. `ideal` adds nothing; the others were fitted to published points."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: str
    aliases: tuple[str, ...] = ()
    """How sources spell it, versions left out."""
    since: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    """Day from which runs of it without a version are taken to be as this profile says."""
    host_ms: Annotated[float, Field(ge=0, le=1000), time_in("ms")] = 0.0
    """Time per step that no kernel hides: scheduling, sampling, launching."""
    host_us_per_sequence: Small = 0.0
    """The same for every sequence of the step: detokenising, streaming, bookkeeping."""
    host_us_per_expert_layer: Small = 0.0
    """The same for every mixture-of-experts layer of a step that carries prompts (no captured graph)."""
    host_hidden: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of both that passes while kernels run: the next step is scheduled during this one."""
    captured: StrictBool = False
    """Whether decode steps are launched as one graph, in which small kernels of a layer's experts overlap."""
    request_ms: Annotated[float, Field(ge=0, le=1e4), time_in("ms")] = 0.0
    """Time of a request outside steps, in the mean, before it is queued: its server, its tokens."""
    launch_us_per_layer: Small = 0.0
    """Eager engines: time to launch the kernels of a layer, on the host of an H100 system. The longer of
    this and the kernels counts."""
    reserve_gib: Annotated[float, Field(ge=0, le=1024)] = 0.0
    """Memory of the runtime and the collective library on each chip."""
    collective_gib: Annotated[float, Field(ge=0, le=1024)] = 0.0
    """Buffers of the collective library on each chip of several that share a switch."""
    memory_share: Fraction = 1.0
    """Share of what the driver leaves programs that weights, cache and working buffers may take; with a
    headroom, that weights and cache may take."""
    dry_run: DryRun | None = None
    """A step tried at the start, whose working buffers are set aside; without it those of the traffic are."""
    headroom: Headroom | None = None
    """What is left beside weights and cache where nobody gives a memory_share."""
    block_tokens: Annotated[int, Field(ge=1, le=10**5)] = 1
    """Tokens of a block of the cache, which is a whole number of them."""
    cache_share: Fraction = 1.0
    """Share of what weights and buffers leave free that the engine gives to the cache."""
    cache_fill: Fraction = 1.0
    """Share of the cache that the sequences which run together fill: whole requests have room, or none."""
    window_cache: bool = True
    """Whether layers with a window keep only its tokens."""
    window_step: bool = False
    """Whether the tokens of a step, and one block, are planned beside the window for each request: what the
    engine says that its cache holds, and the longest request that it takes."""
    step_tokens: Tokens = 8192
    """Most tokens scheduled in one step: longer prompts are prefilled in chunks."""
    max_sequences: Annotated[int, Field(ge=1, le=10**6)] = 2048
    """Most sequences decoded together on one attention rank."""
    prompts: Literal["beside", "alone"] = "beside"
    """Prompts share steps with sequences that decode, or have steps of their own that go first."""
    admits: Literal["prompt", "request"] = "prompt"
    """A request is let in with room in the cache for its prompt, and starts again where that runs short; or
    only with room for its whole answer."""
    expert_exchange: Literal["all_to_all", "all_gather"] = "all_to_all"
    """How tokens reach experts on other ranks: only to their experts, or to every rank."""
    expert_skew: Annotated[float, Field(ge=1, le=64)] = 1.0
    """Tokens on the busiest expert-parallel rank over the mean."""
    data_parallel_balance: Fraction = 1.0
    """Mean over longest step of the attention ranks, which wait for each other."""
    compute: Annotated[float, Field(ge=1e-3, le=2)] = 1.0
    """Arithmetic speed of its kernels over that measured on the chip with today's."""
    all_reduce_us: Small = 0.0
    """Time that each of its all-reduces takes beyond the fastest kernels, whatever the size."""
    network_all_reduce_us: Small = 0.0
    """Time that each all-reduce of a group over several scale-up domains takes beyond links and kernels."""
    all_reduce: Annotated[float, Field(ge=1e-3, le=2)] = 1.0
    """Bandwidth of its all-reduce over that of the fastest kernels."""
    attention_decode: Annotated[float, Field(ge=1e-3, le=2)] = 1.0
    """Decode attention's share of the chip's measured bandwidth with this engine's kernels."""
    heads_share_up_to: dict[str, Annotated[int, Field(ge=1, le=10**6)]] = Field(
        default={}, exclude_if=lambda value: not value
    )
    """By maker of the chip, where its kernels for it are such: sequences times query heads of a device up to
    which the query heads of a group share what decode attention reads. With more, each reads for itself."""
    pads: Units = Field(default={}, exclude_if=lambda value: not value)
    """What it rounds up where ranks do not divide it, or shares unequally, each with the unit of a share; it
    refuses such ranks for all else."""
    sources: dict[str, str]
    notes: str = ""

    @property
    def filled(self) -> float:
        """Share of what weights and buffers leave free that the sequences which run together fill."""
        return self.cache_share * self.cache_fill

    def source(self, figure: str) -> str:
        """Where a figure of this engine comes from."""
        return self.sources.get(figure, self.sources.get("default", "not stated"))


FIGURES: dict[str, Any] = {
    "host_ms": (Annotated[float, Field(ge=0, le=1000), time_in("ms")] | None, None),
    "reserve_gib": (Annotated[float, Field(ge=0, le=1024)] | None, None),
    "memory_share": (Fraction | None, None),
    "cache_share": (Fraction | None, None),
    "step_tokens": (Tokens | None, None),
    "max_sequences": (Annotated[int, Field(ge=1, le=10**6)] | None, None),
}
"""What a problem's deployment may say in place of its engine's own: (type, default) by field."""


class HasEngine(Strict):
    """A section that names an engine and may give figures in place of its own, in any engine's words."""

    @model_validator(mode="before")
    @classmethod
    def _in_our_words(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        found: dict[Any, Any] = {}
        for name, value in given.items():
            own = SPELLINGS.get(str(name), name)
            if own in found:
                raise ValueError(f"{name} is {own} by another name; give it once")
            found[own] = value
        return found

    @property
    def figures(self) -> dict[str, Any]:
        """What is given in place of the engine's own."""
        return {name: value for name in FIGURES if (value := getattr(self, name)) is not None}


def _engine_kind(value: Any) -> str:
    return "a name" if isinstance(value, str) else "an engine"


EngineName = Annotated[
    Annotated[str, Tag("a name")] | Annotated[Engine, Tag("an engine")],
    Discriminator(_engine_kind),
]
"""An engine profile by name or path, or its fields."""


def engine_name(engine: str | Engine) -> str:
    """What answers call it."""
    return engine if isinstance(engine, str) else engine.name


Engines = Annotated[
    EngineName | Annotated[tuple[EngineName, ...], Field(min_length=1)],
    Field(union_mode="left_to_right"),
]
"""One profile, or several to choose from."""

IDEAL = Engine.model_construct(name="ideal", title="no engine", sources={"default": "by definition"})
