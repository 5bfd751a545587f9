"""What a model class means beyond the fields of its files: a row of the table of families."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Switch = bool | str
"""On or off in every file, or the name of the field that says so."""

ATTENTION = MappingProxyType(
    {"full_attention": "full", "sliding_attention": "window", "chunked_attention": "chunk"}
)
"""What the names in layer_types stand for in most classes."""


@dataclass(frozen=True, slots=True)
class Family:
    """A row: which of the blocks a class is made of, and the fields that say their sizes.

    Everything that a class leaves to its files is a name of a field. Fields go by the names of Llama's and
    Mixtral's classes; `names.py` knows the others. Defaults of fields are those of `classes.json`.
    """

    like: str = ""
    """The class of transformers whose defaults these files take, where the model type is not one."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Fields that files may leave out and no class of transformers gives."""
    notes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    """Own names of fields, by those used here, where no other class has them so."""
    inside: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Objects of the file, each with the fields that are taken out of it and their names here."""
    costless: tuple[str, ...] = ()
    """Fields that change nothing in this class."""
    told: Mapping[str, str] = field(default_factory=dict)
    """Fields of what the cost model leaves out, each with the assumption that says so."""
    only: Mapping[str, Any] = field(default_factory=dict)
    """Fields that are understood at one value, which their class or another file may have otherwise."""
    same: Mapping[str, str] = field(default_factory=dict)
    """Fields that must be equal to others."""
    variants: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Switches of the file, each with what is otherwise in this row where it is on, or with `not ` off."""

    layout: Literal["pairs", "mixers", "halves", "blocks", "beside"] = "pairs"
    """Layers of mixer and feed-forward; of mixers alone; of one of both; as block_configs says; of two mixers
    side by side."""
    kinds: Mapping[str, str] = field(default_factory=lambda: ATTENTION)
    """Mixers by their names in layer_types."""
    order: str = "full"
    """Of `order.py`: the mixers of files without layer_types."""
    cycle: str = ""
    """Their order, a letter a layer, repeated: S window, F full, L linear, C convolution."""
    lead: str = ""
    """Letters of the first layers, where those differ."""
    last: str = ""
    """The letter of the last layer, where that differs."""

    elsewhere: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Layers, by their name in layer_types, whose fields have names of their own."""

    kv_shared: str = ""
    """The field with the number of last layers that read the keys and values of earlier ones."""
    shared_ffn_times: tuple[str, int] = ("", 1)
    """A switch, and how much wider the network of those layers is where it is on."""
    layer_input: tuple[str, str] = ("", "")
    """Fields with the width of the embedding that each layer has of its own, and with its rows."""
    must_say: tuple[str, ...] = ()
    """Fields that layers elsewhere need, though their class has a default: checkpoints have another."""

    attention: Literal["gqa", "mla"] = "gqa"
    qkv_bias: Switch = False
    output_bias: Switch = False
    qk_norm: Literal["no", "head", "full"] = "no"
    """Norms of queries and keys: one weight a channel of a head, or of all heads."""
    qk_norm_if: str = ""
    """The field that switches them on."""
    qk_norm_bias: bool = False
    one_kv_head: str = ""
    """The field that says that all query heads share one key-value head."""
    output_gate: Switch = False
    head_gate: Switch = False
    """A gate with one number a head."""
    output_norm: bool = False
    """A norm of what the heads give, before the output projection."""
    sinks: Switch = False
    d_value: str = ""
    """The field with the width of values, where that is not the keys'."""
    keys_as_values: tuple[str, ...] = ()
    """Layers, by their name in layer_types, whose keys are their values."""
    window_kv_times: int = 1
    """Key-value heads of layers with a window, in those of others, where a file does not say."""
    square: bool = False
    """The output projection is hidden_size wide on both sides: heads must be so wide together."""
    rough_heads: bool = False
    """A missing head_dim is rounded down where the heads do not divide hidden_size."""

    full_rank_gate: Switch = False
    """The output gate of Kimi delta attention is one matrix."""
    scan_norm: Switch = True
    """Norms of a state-space mixer."""

    ffn: Literal["dense", "moe"] = "dense"
    gated_ffn: bool = True
    ffn_bias: Switch = False
    ffn_times: int | None = None
    """Where intermediate_size is missing: so many times hidden_size."""
    ffn_norm: bool = False
    """A norm of the hidden layer, before the last matrix."""
    ffn_scalars: int = 0
    """Learned numbers of the activation."""
    d_dense: str = "intermediate_size"
    sparse: tuple[str, ...] = ()
    """Fields that say which layers hold experts: see `sparse.py`."""
    dense_layers: int = 0
    """Leading layers without experts, where a file does not say."""
    d_expert: str = "moe_intermediate_size"
    expert_bias: bool = False
    router_bias: Switch = False
    hashed: str = ""
    """The field with the number of leading layers whose experts a table chooses, by token, without a bias."""
    shared: Switch | Literal["one"] = False
    """The field with the number of shared experts; 'one' where the class has one."""
    most_shared: int = 64
    d_shared: str = ""
    """The field with the width of the shared experts together; '' where each is as wide as an expert."""
    shared_gate: bool = False
    d_latent: str = ""
    """The field with the width that routed experts work on; the whole width where the field is not given."""
    latent_norm: Switch = False
    no_experts: str = ""
    """Where a file has `no_experts_at` experts: the field with the width of the network in their place."""
    no_experts_at: int = 0

    n_norms: int = 2
    norms_field: str = ""
    """The field with the number of norms, where a file has it."""
    sparse_norms: int = 0
    """More norms of the layers that hold experts."""
    norm_bias: Switch = False
    streams: str = ""
    """The field with the number of residual streams."""
    outer_norms: int = 1
    """Norms outside the layers: the last one, and perhaps one of the embeddings."""
    positions: str = ""
    """The field with the number of learned positions."""
    more_positions: int = 0
    head_bias: Switch = False
    never_tied: bool = False
    """The class keeps two tables whatever a file says."""
