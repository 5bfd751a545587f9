"""An architecture: embedding, a list of (block, count), head.

A dense model is the case with one block. Files are flat (`n_heads`, `d_ff` beside `d_model`); a model
whose layers differ adds `layers:` with the count and whatever differs in each group.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.quantity import Count

Positive = Annotated[int, Field(ge=1, le=10**7)]


class GroupedQueryAttention(Strict):
    """Softmax attention with n_heads query heads that share n_kv_heads key-value heads."""

    n_heads: Positive
    n_kv_heads: Positive
    d_head: Positive
    attention_window: Positive | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False

    @model_validator(mode="after")
    def _groups(self) -> "GroupedQueryAttention":
        if self.n_heads % self.n_kv_heads:
            divisors = [str(k) for k in range(1, self.n_heads + 1) if self.n_heads % k == 0]
            raise ValueError(
                f"n_kv_heads {self.n_kv_heads} does not divide n_heads {self.n_heads}; "
                f"use one of {', '.join(divisors)}"
            )
        return self


class DenseFeedForward(Strict):
    """Feed-forward network of width d_ff; gated (SwiGLU, GeGLU) has three matrices, else two."""

    d_ff: Positive
    gated_ffn: bool = True
    ffn_bias: bool = False


class Block(Strict):
    """One layer kind."""

    attention: GroupedQueryAttention
    ffn: DenseFeedForward
    n_norms: Annotated[int, Field(ge=0, le=8)] = 2
    norm_bias: bool = False


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
    position_embeddings: Annotated[int, Field(ge=0)] = 0
    """Learned positions (GPT-3); rotary models have none."""
    layers: tuple[Layers, ...] = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    published_params: Count | None = None
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
    def family(self) -> Literal["dense"]:
        """The family whose lattice contains this model."""
        return "dense"

    @property
    def first(self) -> Block:
        """The block of the first group; the block, where all layers are alike."""
        return self.layers[0].block


_PARTS: dict[str, type[Strict]] = {"attention": GroupedQueryAttention, "ffn": DenseFeedForward}


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Fold the flat fields of a model file into blocks; unknown names stay, to be refused by name."""
    data = {key: value for key, value in flat.items() if key not in ("family", "n_layers")}
    block_fields = [*_PARTS["attention"].model_fields, *_PARTS["ffn"].model_fields]
    block_fields += ["n_norms", "norm_bias"]
    common = {key: data.pop(key) for key in block_fields if key in data}
    groups = data.pop("layers", None) or [{"count": flat["n_layers"]}]
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise ValueError("layers must be a list of groups, each with a count and what differs in it")
    data["layers"] = [_group(common, group) for group in groups]
    total = sum(g["count"] for g in groups if isinstance(g.get("count"), int))
    if isinstance(flat["n_layers"], int) and total != flat["n_layers"]:
        raise ValueError(f"n_layers is {flat['n_layers']} but the groups of `layers` add up to {total}")
    return data


def _group(common: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
    fields = common | {key: value for key, value in group.items() if key != "count"}
    block: dict[str, Any] = {
        part: {key: fields.pop(key) for key in model.model_fields if key in fields}
        for part, model in _PARTS.items()
    }
    return {"count": group.get("count"), "block": block | fields}
