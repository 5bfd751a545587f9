"""Kimi delta attention (Kimi-Linear, Kimi-K3): a gated DeltaNet whose state decays channel by channel.

The state is d_head x d_head numbers a head. With D = n_heads d_head and h = n_heads, and gates made through
d_head numbers unless the output's is of full rank:

    parameters   3 d D (queries, keys, values) + 3 D d_conv + d h (beta) + d d_head + d_head D + D + h (decay)
                 + d d_head + d_head D, or d D (output gate) + d_head (norm) + D d

(arXiv 2510.26692, section 4; transformers 5.24, models/kimi_linear; full rank: arXiv 2607.24653). Reproduces
Kimi-Linear's 49,122,681,728. Scan of prompts in chunks of C = 64: 6 d_head^2 + 3 C d_head + C^2 FLOP a token
and head (arXiv 2510.26692, equation 13). Heads are split over ranks, what comes before the narrow gates is on
every rank.
"""

from typing import Annotated, Any, Literal

from optimizer.blocks import _scan
from optimizer.blocks._fields import Dimension, Half, Positive
from optimizer.blocks.operators import AllReduce, Elementwise, Gemm, Number, Operator, Weights
from optimizer.blocks.step import Step

ROLE = "mixer"
CAVEAT = _scan.CAVEAT
OUTSIDE = {"kv_sharing": "what it says was found for softmax attention"}


class KimiDeltaAttention(Half):
    """Linear attention with a delta rule and a decay for each channel (Kimi-Linear, Kimi-K3)."""

    kind: Literal["kda"] = "kda"
    n_linear_heads: Annotated[Positive, Dimension("Heads", "heads", tuple(range(1, 257)), rank=1)]
    d_linear_head: Annotated[Positive, Dimension("Head width", "d_head", (64, 128), usual=(16, 1024))]
    d_conv: Positive = 4
    full_rank_gate: bool = False
    """The output's gate is one matrix (Kimi-K3), not a product of two through d_head numbers."""


FIELDS = KimiDeltaAttention
_CHUNK = 64.0


def in_words(mixer: Any) -> str:
    """For a sentence of a report."""
    return f"{mixer.n_linear_heads} delta heads of {mixer.d_linear_head}"


def n_params(mixer: Any, d_model: int) -> Number:
    """Parameters of projections, convolutions, gates and the output norm."""
    stored = weights(mixer, d_model, 1)
    return stored.matrix + stored.vector


def weights(mixer: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    m, heads, inner = mixer, *_shard(mixer, tensor_parallel)
    narrow = d_model * m.d_linear_head + m.d_linear_head * inner
    gate = d_model * inner if m.full_rank_gate else narrow
    matrix = d_model * (4 * inner + heads) + narrow + gate
    return Weights(matrix, 3 * inner * m.d_conv + inner + heads + m.d_linear_head)


def kv_elements(mixer: Any, tokens: int, tensor_parallel: int) -> Number:
    """None: nothing grows with the sequence."""
    return 0


def state_bytes(mixer: Any, tensor_parallel: int) -> Number:
    """Bytes one sequence keeps on one rank: the state, and d_conv columns before the convolutions."""
    _, inner = _shard(mixer, tensor_parallel)
    return _scan.STATE_BYTES * inner * mixer.d_linear_head + _scan.CONV_BYTES * 3 * inner * mixer.d_conv


def operators(mixer: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    m, rows, heads, inner = mixer, step.rows, *_shard(mixer, step.split.tensor_parallel)
    down = m.d_linear_head + (inner if m.full_rank_gate else m.d_linear_head)
    wide = [Gemm("decay projection", rows, inner, m.d_linear_head)]
    wide += [] if m.full_rank_gate else [Gemm("gate projection", rows, inner, m.d_linear_head)]
    products = 6 * m.d_linear_head**2 + 3 * _CHUNK * m.d_linear_head + _CHUNK**2
    return [
        Elementwise("mixer norm, residual", rows * 6 * step.d_model),
        Gemm("state input projection", rows, 3 * inner + heads + down, step.d_model),
        *wide,
        Elementwise("convolution, gates, norm", rows * (4 * 3 * inner + 10 * inner)),
        *_scan.operators(
            step,
            state=inner * m.d_linear_head,
            fixed=state_bytes(m, step.split.tensor_parallel),
            read=4 * inner + heads,
            out=inner,
            flops=heads * products,
            chunk=_CHUNK,
        ),
        Gemm("state output projection", rows, step.d_model, inner),
        AllReduce("mixer all-reduce", rows * 2 * step.d_model),
    ]


def _shard(mixer: Any, tensor_parallel: int) -> tuple[Number, Number]:
    """Heads, and the width of all of them, on one rank."""
    heads = mixer.n_linear_heads / tensor_parallel
    return heads, heads * mixer.d_linear_head


def stands_for(mixer: Any) -> dict[str, int]:
    """The layer in the words of the rules."""
    heads = mixer.n_linear_heads
    return {"n_heads": heads, "n_kv_heads": heads, "d_head": mixer.d_linear_head}
