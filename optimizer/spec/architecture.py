"""An architecture: embedding, a list of (block, count), head.

A dense model is the case with one block. Files are flat (`n_heads`, `d_ff` beside `d_model`); a model
whose layers differ adds `layers:` with the count and whatever differs in each group.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.dtypes import WeightDtype
from optimizer.spec.norms import Norms
from optimizer.spec.quantity import Count

Positive = Annotated[int, Field(ge=1, le=10**7)]


def _extra() -> Any:
    """A switch that is off, and left out of dumps, in all but a few published models."""
    return Field(default=False, exclude_if=lambda value: not value)


class GroupedQueryAttention(Strict):
    """Softmax attention with n_heads query heads that share n_kv_heads key-value heads."""

    kind: Literal["gqa"] = "gqa"
    n_heads: Positive
    n_kv_heads: Positive
    d_head: Positive
    attention_window: Positive | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    qk_norm_full: bool = _extra()
    """Query and key norms over all heads together (OLMo-2); qk_norm has one weight per channel of a head."""
    output_gate: bool = _extra()
    """The attention's output is gated by a projection as wide as the queries (Qwen3-Next)."""
    sinks: bool = _extra()
    """One learned logit per head in the softmax (gpt-oss)."""

    @property
    def has_extras(self) -> bool:
        """Whether it has a switch that the dense lattice does not know."""
        return self.qk_norm_full or self.output_gate or self.sinks

    @model_validator(mode="after")
    def _groups(self) -> "GroupedQueryAttention":
        if self.n_heads % self.n_kv_heads:
            divisors = [str(k) for k in range(1, self.n_heads + 1) if self.n_heads % k == 0]
            raise ValueError(
                f"n_kv_heads {self.n_kv_heads} does not divide n_heads {self.n_heads}; "
                f"use one of {', '.join(divisors)}"
            )
        if self.qk_norm and self.qk_norm_full:
            raise ValueError("qk_norm and qk_norm_full exclude each other; keep one")
        return self


class DenseFeedForward(Strict):
    """Feed-forward network of width d_ff; gated (SwiGLU, GeGLU) has three matrices, else two."""

    kind: Literal["dense_ffn"] = "dense_ffn"
    d_ff: Positive
    gated_ffn: bool = True
    ffn_bias: bool = False


class LatentAttention(Strict):
    """Multi-head latent attention (DeepSeek-V2): keys and values are rebuilt from one latent per token."""

    kind: Literal["mla"] = "mla"
    n_heads: Positive
    d_kv_latent: Positive
    d_q_latent: Positive | None = None
    d_nope: Positive
    d_rope: Positive
    d_value: Positive


class MixtureOfExperts(Strict):
    """n_experts networks of width d_expert; each token uses n_active_experts and the shared ones."""

    kind: Literal["moe"] = "moe"
    n_experts: Positive
    n_active_experts: Positive
    d_expert: Positive
    n_shared_experts: Annotated[int, Field(ge=0, le=64)] = 0
    d_shared: Positive | None = None
    """Width of one shared expert; d_expert where not given."""
    gated_ffn: bool = True
    expert_bias: bool = False
    router_bias: bool = False
    shared_gate: bool = False

    @model_validator(mode="after")
    def _active(self) -> "MixtureOfExperts":
        if self.n_active_experts > self.n_experts:
            raise ValueError(
                f"n_active_experts {self.n_active_experts} is more than n_experts {self.n_experts}"
            )
        return self


class Mamba2(Strict):
    """State-space layer of Mamba-2: d_inner / d_ssm_head heads, each with a d_ssm_head x d_state state."""

    kind: Literal["mamba2"] = "mamba2"
    d_inner: Positive
    d_ssm_head: Positive
    d_state: Positive
    n_groups: Positive = 1
    d_conv: Positive = 4

    @model_validator(mode="after")
    def _heads(self) -> "Mamba2":
        if self.d_inner % self.d_ssm_head:
            raise ValueError(f"d_ssm_head {self.d_ssm_head} does not divide d_inner {self.d_inner}")
        return self


class Mamba1(Strict):
    """Selective state-space layer of Mamba-1 as Jamba has it: a state of d_state for each inner channel."""

    kind: Literal["mamba1"] = "mamba1"
    d_inner: Positive
    d_state: Positive
    d_dt: Positive
    """Width of the bottleneck through which the step sizes are projected."""
    d_conv: Positive = 4


class GatedDeltaNet(Strict):
    """Linear attention with a delta rule (Qwen3-Next): a d_key x d_value state for each value head."""

    kind: Literal["gated_deltanet"] = "gated_deltanet"
    n_key_heads: Positive
    n_value_heads: Positive
    d_key: Positive
    d_value: Positive
    d_conv: Positive = 4

    @model_validator(mode="after")
    def _groups(self) -> "GatedDeltaNet":
        if self.n_value_heads % self.n_key_heads:
            raise ValueError(
                f"n_key_heads {self.n_key_heads} does not divide n_value_heads {self.n_value_heads}"
            )
        return self


class Lightning(Strict):
    """Linear attention with a fixed decay (MiniMax-Text-01): a d_head x d_head state for each head."""

    kind: Literal["lightning"] = "lightning"
    n_heads: Positive
    d_head: Positive


class NoMixer(Strict):
    """A layer that is only a feed-forward network."""

    kind: Literal["no_mixer"] = "no_mixer"


class NoFeedForward(Strict):
    """A layer that is only a mixer."""

    kind: Literal["no_ffn"] = "no_ffn"


Mixer = Annotated[
    GroupedQueryAttention | LatentAttention | Mamba2 | Mamba1 | GatedDeltaNet | Lightning | NoMixer,
    Field(discriminator="kind"),
]
Ffn = Annotated[DenseFeedForward | MixtureOfExperts | NoFeedForward, Field(discriminator="kind")]
ActiveConvention = Literal["all", "no_input_embedding", "no_embeddings"]


class Block(Strict):
    """One layer kind."""

    mixer: Mixer
    ffn: Ffn
    n_norms: Annotated[int, Field(ge=0, le=8)] = 2
    norm_bias: bool = False

    @property
    def norms(self) -> Norms:
        """Its layer norms."""
        return Norms(self.n_norms, self.norm_bias)


class Layers(Strict):
    """`count` layers of the same block."""

    block: Block
    count: Positive


class Architecture(Strict):
    """A published or proposed model, as much of it as costs time, memory or quality."""

    name: str
    d_model: Positive
    vocab_size: Positive
    tied_embeddings: bool = False
    position_embeddings: Annotated[int, Field(ge=0, le=10**7)] = 0
    """Learned positions (GPT-3); rotary models have none."""
    layers: tuple[Layers, ...] = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    expert_dtype: WeightDtype | None = None
    """Format of the routed experts, where the model is published in one only."""
    published_params: Count | None = None
    published_active_params: Count | None = None
    active_convention: ActiveConvention = "all"
    """Which vocabulary tables the publisher's active count includes."""
    source: str = ""
    notes: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, data: Any) -> Any:
        return _nested(data) if isinstance(data, dict) and "n_layers" in data else data

    @property
    def n_layers(self) -> int:
        """Number of layers, all groups together."""
        return sum(group.count for group in self.layers)

    @property
    def family(self) -> Literal["dense", "moe", "mla", "hybrid", "ssm"]:
        """By the kinds of its layers: ssm has fixed states and no attention, hybrid has both."""
        mixers = {group.block.mixer.kind for group in self.layers} - {"no_mixer"}
        attention = mixers & {"gqa", "mla"}
        if mixers - attention:
            return "hybrid" if attention else "ssm"
        if "mla" in mixers:
            return "mla"
        return "moe" if any(group.block.ffn.kind == "moe" for group in self.layers) else "dense"

    @property
    def plain(self) -> bool:
        """Whether all layers are alike and of the dense family: a point of the dense lattice."""
        mixer, ffn = self.first.mixer, self.first.ffn
        ordinary = isinstance(mixer, GroupedQueryAttention) and not mixer.has_extras
        return len(self.layers) == 1 and ordinary and ffn.kind == "dense_ffn"

    @property
    def first(self) -> Block:
        """The block of the first group; the block, where all layers are alike."""
        return self.layers[0].block

    @property
    def final_bias(self) -> bool:
        """Whether the norm behind the last layer has a bias."""
        return self.first.norm_bias


_MIXERS: dict[str, type[Strict]] = {
    "gqa": GroupedQueryAttention,
    "mla": LatentAttention,
    "mamba2": Mamba2,
    "mamba1": Mamba1,
    "gated_deltanet": GatedDeltaNet,
    "lightning": Lightning,
    "no_mixer": NoMixer,
}
_FFNS: dict[str, type[Strict]] = {
    "dense_ffn": DenseFeedForward,
    "moe": MixtureOfExperts,
    "no_ffn": NoFeedForward,
}
_BLOCK_FIELDS = {"n_norms", "norm_bias"}.union(
    *(model.model_fields for model in (*_MIXERS.values(), *_FFNS.values()))
) - {"kind"}


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Fold the flat fields of a model file into blocks; unknown names stay, to be refused by name."""
    data = {k: v for k, v in flat.items() if k not in ("family", "n_layers", "n_dense_layers")}
    common = {key: data.pop(key) for key in list(data) if key in _BLOCK_FIELDS}
    groups = data.pop("layers", None) or _default_groups(flat)
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise ValueError("layers must be a list of groups, each with a count and what differs in it")
    data["layers"] = [_group(common, group) for group in groups]
    total = sum(g["count"] for g in groups if isinstance(g.get("count"), int))
    if isinstance(flat["n_layers"], int) and total != flat["n_layers"]:
        raise ValueError(f"n_layers is {flat['n_layers']} but the groups of `layers` add up to {total}")
    return data


def _default_groups(flat: dict[str, Any]) -> Any:
    """All layers alike, or leading dense layers before mixtures of experts."""
    n_layers, n_dense = flat["n_layers"], flat.get("n_dense_layers", 0)
    if not n_dense:
        return [{"count": n_layers}]
    if not isinstance(n_dense, int) or not isinstance(n_layers, int) or not 0 < n_dense < n_layers:
        raise ValueError(f"n_dense_layers {n_dense!r} must lie between 0 and n_layers {n_layers!r}")
    return [{"count": n_dense, "ffn": "dense_ffn"}, {"count": n_layers - n_dense}]


def _group(common: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
    fields = common | {k: v for k, v in group.items() if k not in ("count", "mixer", "ffn")}
    mixer = group.get("mixer", "mla" if "d_kv_latent" in fields else "gqa")
    ffn = group.get("ffn", "moe" if "n_experts" in fields else "dense_ffn")
    block: dict[str, Any] = {
        "mixer": _part("mixer", mixer, _MIXERS, fields),
        "ffn": _part("ffn", ffn, _FFNS, fields),
    }
    rest = {k: v for k, v in fields.items() if k not in _BLOCK_FIELDS or k in ("n_norms", "norm_bias")}
    return {"count": group.get("count"), "block": block | rest}


def _part(half: str, kind: Any, kinds: dict[str, type[Strict]], fields: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"{half} '{str(kind)[:40]}' is no kind; use one of {', '.join(kinds)}")
    return {"kind": kind} | {k: fields[k] for k in kinds[kind].model_fields if k in fields}
