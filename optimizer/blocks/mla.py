"""Multi-head latent attention: one compressed latent and one rotary key per token are cached.

Decode absorbs the up-projections into query and output (two products per head against the latent), so that
the cache is read once for all heads; prefill rebuilds keys and values, because the absorbed core needs 3.4
times the arithmetic. The latent is not split over ranks: each holds it whole. Sources: arXiv 2405.04434;
parameter counts reproduce DeepSeek-V3's 187,107,328 a layer; rates as ai-dynamo/aiconfigurator @095f58a5.
"""

from typing import Annotated, Any, Literal

from optimizer.blocks import _saved
from optimizer.blocks._fields import Dimension, Half, Positive, extra
from optimizer.blocks.operators import (
    AllReduce,
    Elementwise,
    Gemm,
    LatentAttention,
    Number,
    Operator,
    PrefillAttention,
    Weights,
)
from optimizer.blocks.padding import Padding, with_fields
from optimizer.blocks.step import Step
from optimizer.spec.split import Split

ROLE = "mixer"
FAMILY = "mla"
MARK = "d_kv_latent"
CAVEAT = "latent attention with the constants of grouped-query attention"
OUTSIDE = {"attention_ratio": "its band is of grouped-query attention, latent heads are wider"}


class MultiHeadLatentAttention(Half):
    """Multi-head latent attention (DeepSeek-V2): keys and values are rebuilt from one latent per token."""

    kind: Literal["mla"] = "mla"
    n_heads: Annotated[Positive, Dimension("Query heads", "heads", tuple(range(1, 257)), usual=(1, 1024))]
    d_kv_latent: Annotated[Positive, Dimension("Key-value latent", "latent", (512,))]
    d_q_latent: Positive | None = None
    d_nope: Annotated[Positive, Dimension("Head width without rotation", "d_nope", (128,), rises=None)]
    d_rope: Annotated[Positive, Dimension("Rotary width", "d_rope", (64,), rises=None)]
    d_value: Annotated[Positive, Dimension("Value width", "d_value", (128,), rises=None, usual=(16, 1024))]
    output_gate: bool = extra()
    """The attention's output is gated by a projection as wide as the values of all heads (Kimi-K3)."""

    @property
    def ordinary(self) -> bool:
        """Whether it has no switch that lattices do not know."""
        return not self.output_gate


FIELDS = MultiHeadLatentAttention
REBUILT = ("query up-projection", "key-value up-projection")
"""Products that light recomputation runs again."""


def in_words(attention: Any) -> str:
    """For a sentence of a report."""
    a = attention
    return (
        f"{a.n_heads} heads of {a.d_nope} + {a.d_rope} on latents of {a.d_kv_latent}, values of {a.d_value}"
    )


def n_params(attention: Any, d_model: int) -> Number:
    """Parameters of the projections and the two latent norms (not the layer norms)."""
    a = attention
    d_query = a.n_heads * (a.d_nope + a.d_rope)
    if a.d_q_latent is not None:
        query = d_model * a.d_q_latent + a.d_q_latent + a.d_q_latent * d_query
    else:
        query = d_model * d_query
    latent = d_model * (a.d_kv_latent + a.d_rope) + a.d_kv_latent
    rebuilt = a.d_kv_latent * a.n_heads * (a.d_nope + a.d_value)
    return query + latent + rebuilt + (1 + _gates(a)) * a.n_heads * a.d_value * d_model


def weights(attention: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank: heads are split, the down-projections are on every rank."""
    a, heads = attention, attention.n_heads / tensor_parallel
    d_query = heads * (a.d_nope + a.d_rope)
    query = d_model * a.d_q_latent + a.d_q_latent * d_query if a.d_q_latent is not None else d_model * d_query
    latent = d_model * (a.d_kv_latent + a.d_rope)
    rebuilt = a.d_kv_latent * heads * (a.d_nope + a.d_value)
    matrix = query + latent + rebuilt + (1 + _gates(a)) * heads * a.d_value * d_model
    return Weights(matrix, a.d_kv_latent + (0 if a.d_q_latent is None else a.d_q_latent))


def kv_elements(attention: Any, tokens: int, tensor_parallel: int) -> Number:
    """Cache elements of one sequence on one rank; the same on every rank."""
    return (attention.d_kv_latent + attention.d_rope) * tokens


def operators(attention: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    a = attention
    return [*inputs(a, step), *_decode(a, step), *rebuilt_prompts(a, step), *outputs(a, step)]


def inputs(attention: Any, step: Step) -> list[Operator]:
    """What comes before the core: queries, and the latent of each new token."""
    a, rows = attention, step.rows
    heads = a.n_heads / step.split.tensor_parallel
    d_query = heads * (a.d_nope + a.d_rope)
    down = a.d_kv_latent + a.d_rope + (d_query if a.d_q_latent is None else a.d_q_latent)
    down = down + _gates(a) * heads * a.d_value
    query = [Gemm("query up-projection", rows, d_query, a.d_q_latent)] if a.d_q_latent is not None else []
    return [
        Elementwise("attention norm, residual", rows * 6 * step.d_model),
        Gemm("latent down-projection", rows, down, step.d_model),
        *query,
        Elementwise("rotary, cache write", rows * 4 * (d_query + a.d_kv_latent + a.d_rope)),
    ]


def outputs(attention: Any, step: Step) -> list[Operator]:
    """What follows the core."""
    a, heads = attention, attention.n_heads / step.split.tensor_parallel
    return [
        Gemm("output projection", step.rows, step.d_model, heads * a.d_value),
        AllReduce("attention all-reduce", step.rows * 2 * step.d_model),
    ]


def saved(attention: Any, d_model: Number, at: Any) -> Number:
    """Bytes a token kept for the backward pass: queries, keys, values, output, latents, the core's scores.

    Light recomputation rebuilds queries, keys and values from the latents, or from the layer's input.
    """
    a, heads = attention, attention.n_heads / at.tensor_parallel
    q, v = heads * (a.d_nope + a.d_rope), heads * a.d_value
    latents = a.d_kv_latent + a.d_rope + (0 if a.d_q_latent is None else a.d_q_latent)
    kept = 2 * q + (2 + _gates(a)) * v + latents
    rebuilt = ((0.0 if a.d_q_latent is None else q) + q + v) * at.recompute_light
    own = 2.0 * (kept - rebuilt) + _saved.scores(heads, None, at)
    return _saved.around(d_model, at) + own


def padded(attention: Any, split: Split, padding: Padding) -> Any:
    """The layer where engines round up its heads; the latent is on every rank anyway."""
    return with_fields(attention, n_heads=padding.up("heads", attention.n_heads, split.tensor_parallel))


def _gates(attention: Any) -> int:
    """1 with a gate of the output, which lattices do not have."""
    return int(getattr(attention, "output_gate", False))


def absorbed(attention: Any, rows: Number, step: Step, core: Operator) -> list[Operator]:
    """A core on latents, for `rows` tokens, between the two products that stand for the up-projections."""
    a, heads = attention, attention.n_heads / step.split.tensor_parallel
    before = "query absorption" if core.name == "attention" else f"query absorption, {core.name}"
    after = "value absorption" if core.name == "attention" else f"value absorption, {core.name}"
    return [
        Gemm(before, rows, heads * a.d_kv_latent, a.d_nope),
        core,
        Gemm(after, rows, heads * a.d_value, a.d_kv_latent),
    ]


def _decode(a: Any, step: Step) -> list[Operator]:
    if not step.decodes:
        return []
    heads, latent = a.n_heads / step.split.tensor_parallel, (a.d_kv_latent, a.d_rope)
    core = LatentAttention("attention", step.batch, step.context, heads, *latent, step.queries)
    return absorbed(a, step.decoded, step, core)


def rebuilt_prompts(a: Any, step: Step) -> list[Operator]:
    """The core of prompts, on keys and values that are rebuilt for all that they attend to."""
    if not step.prefills:
        return []
    tokens, heads = step.prompt_tokens, a.n_heads / step.split.tensor_parallel
    mean_width = (a.d_nope + a.d_rope + a.d_value) / 2  # queries and keys are wider than values
    name = "prompt attention" if step.decodes else "attention"
    everything = step.prefix + step.chunks * tokens
    every = (step.prompts, step.prefix, step.chunks)
    return [
        Gemm(
            "key-value up-projection",
            step.prompts * step.attended,
            heads * (a.d_nope + a.d_value),
            a.d_kv_latent,
        ),
        PrefillAttention(name, tokens, everything, heads, heads, mean_width, *every),
    ]


def stands_for(attention: Any) -> dict[str, int]:
    """The layer in the words of the rules."""
    a = attention
    return {"n_kv_heads": a.n_heads, "d_head": a.d_nope + a.d_rope}
