"""An architecture: embedding, a list of (block, count), head.

A dense model is the case with one block. Files are flat (`n_heads`, `d_ff` beside `d_model`); a model
whose layers differ adds `layers:` with the count and whatever differs in each group. What a layer may be is
read from the files of `optimizer/blocks`.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import Field, model_validator

from optimizer.plugins import plugins
from optimizer.spec.base import Strict
from optimizer.spec.checkpoint import Checkpoint
from optimizer.spec.norms import Norms
from optimizer.spec.quantity import Count

Positive = Annotated[int, Field(ge=1, le=10**7)]
_HALVES = {
    role: {name: m for name, m in plugins("blocks").items() if getattr(m, "ROLE", "") == role}
    for role in ("mixer", "ffn")
}
"""The files of `optimizer/blocks` that are kinds of a half, by name."""


def _any_of(role: str) -> Any:
    """A half of any kind, told apart by its name."""
    kinds: Any = Union[tuple(module.FIELDS for module in _HALVES[role].values())]  # noqa: UP007
    return Annotated[kinds, Field(discriminator="kind")]


ActiveConvention = Literal["all", "no_input_embedding", "no_embeddings"]


class Block(Strict):
    """One layer kind."""

    mixer: _any_of("mixer")  # type: ignore[valid-type]
    ffn: _any_of("ffn")  # type: ignore[valid-type]
    n_norms: Annotated[int, Field(ge=0, le=8)] = 2
    norm_bias: bool = False
    n_streams: Annotated[int, Field(ge=1, le=64, exclude_if=lambda value: value == 1)] = 1
    """Residual streams that hyper-connections mix (DeepSeek-V4)."""

    @property
    def norms(self) -> Norms:
        """Its layer norms."""
        return Norms(self.n_norms, self.norm_bias, self.n_streams)


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
    outer_norms: Annotated[int, Field(ge=0, le=8, exclude_if=lambda value: value == 1)] = 1
    """Norms outside the layers: the last one; Bloom has one of its embeddings too, OLMo none with weights."""
    head_bias: bool = Field(default=False, exclude_if=lambda value: not value)
    """Whether the head adds a number to each logit (GPT-J)."""
    other_params: Annotated[int, Field(ge=0, exclude_if=lambda value: not value)] = 0
    """Parameters outside the layers that are none of these: the norm of Gemma-4's per-layer embeddings."""
    layers: tuple[Layers, ...] = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    checkpoint: Checkpoint | None = None
    """How its weights are published, where not all in 16 bit."""
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
    def family(self) -> str:
        """By the kinds of its layers: dense, or what one of them says.

        A mixer's family comes before a feed-forward network's; ssm beside attention makes a hybrid.
        """
        blocks = [group.block for group in self.layers]
        return family_of_layers([b.mixer for b in blocks], [b.ffn for b in blocks])

    @property
    def plain(self) -> bool:
        """Whether all layers are alike, without what no lattice has: a point of the lattice of its kinds."""
        alike = len(self.layers) == 1 and self.first.mixer.ordinary and self.first.ffn.ordinary
        return alike and not self.outer_params

    @property
    def first(self) -> Block:
        """The block of the first group; the block, where all layers are alike."""
        return self.layers[0].block

    @property
    def outer_params(self) -> int:
        """Parameters outside the layers beside tables, positions and one last norm.

        More norms or none, a bias of the head, what joins the streams of hyper-connections.
        """
        each, streams = self.d_model * (1 + self.final_bias), self.first.n_streams
        joined = streams * (streams * self.d_model + 1) + 1 if streams > 1 else 0
        own = joined + self.other_params
        return (self.outer_norms - 1) * each + self.head_bias * self.vocab_size + own

    @property
    def final_bias(self) -> bool:
        """Whether the norm behind the last layer has a bias."""
        return self.first.norm_bias


def family_of_layers(mixers: Sequence[Any], ffns: Sequence[Any]) -> str:
    """The family of a model with these halves: see `Architecture.family`."""
    found = [name for name in map(family_of, mixers) if name]
    if "ssm" in found:
        return "hybrid" if {*found} - {"ssm"} else "ssm"
    said = (*found, *map(family_of, ffns))
    return next((name for name in said if name not in ("", "dense")), "dense")


def family_of(half: Any) -> str:
    """The family that a half makes its model one of; '' where the half is not there.

    What its file says, else ssm for one with a state, else its kind.
    """
    module = _HALVES["mixer"].get(half.kind) or _HALVES["ffn"][half.kind]
    return str(getattr(module, "FAMILY", "ssm" if hasattr(module, "state_bytes") else half.kind))


def dimensions_of(role: str, kind: str) -> tuple[str, ...]:
    """The dimensions of a kind of half; none of a kind that there is not."""
    module = _HALVES[role].get(kind)
    return tuple(module.FIELDS.dimensions()) if module else ()


def usual(role: str) -> str:
    """The kind of a half that a file means which names none."""
    return next(name for name, module in _HALVES[role].items() if hasattr(module, "USUAL"))


_BLOCK_FIELDS = {"n_norms", "norm_bias", "n_streams"}.union(
    *(module.FIELDS.model_fields for kinds in _HALVES.values() for module in kinds.values())
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
    return [{"count": n_dense, "ffn": usual("ffn")}, {"count": n_layers - n_dense}]


def _group(common: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
    fields = common | {k: v for k, v in group.items() if k not in ("count", "mixer", "ffn")}
    block: dict[str, Any] = {role: _half(role, group, fields) for role in _HALVES}
    rest = {
        k: v
        for k, v in fields.items()
        if k not in _BLOCK_FIELDS or k in ("n_norms", "norm_bias", "n_streams")
    }
    return {"count": group.get("count"), "block": block | rest}


def _half(role: str, group: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a half of a group."""
    kind = kind_of(role, group, fields, tuple(_HALVES[role]))
    return {"kind": kind} | {k: fields[k] for k in _HALVES[role][kind].FIELDS.model_fields if k in fields}


def kind_of(role: str, named: dict[str, Any], fields: dict[str, Any], kinds: Sequence[str]) -> str:
    """The kind of a half that a file names; else one that only has a field it gives; else the usual one.

    ValueError if it is none of `kinds`.
    """
    marked = [name for name in kinds if getattr(_HALVES[role][name], "MARK", "") in fields]
    kind = named.get(role, marked[0] if marked else usual(role))
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"{role} '{str(kind)[:40]}' is no kind; use one of {', '.join(kinds)}")
    return kind
