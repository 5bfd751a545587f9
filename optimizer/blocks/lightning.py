"""Lightning attention (MiniMax-Text-01): linear attention with a fixed decay, state d_head x d_head a head.

Parameters: 5 d D + D, with D = n_heads d_head: query, key, value, output gate and output, and the norm before
the gate (arXiv 2501.08313; the model's printed module tree). Scan of prompts in blocks of Q = 256 (recalled):
n_heads (4 d_head^2 + 2 Q d_head) FLOP a token. Heads are split over ranks.
"""

from typing import Annotated, Any, Literal

from optimizer.blocks import _scan
from optimizer.blocks._fields import Dimension, Half, Positive
from optimizer.blocks.operators import AllReduce, Elementwise, Gemm, Number, Operator, Weights
from optimizer.blocks.step import Step

ROLE = "mixer"
CAVEAT = _scan.CAVEAT


class Lightning(Half):
    """Linear attention with a fixed decay (MiniMax-Text-01): a d_head x d_head state for each head."""

    kind: Literal["lightning"] = "lightning"
    n_heads: Annotated[Positive, Dimension("Heads", "heads", tuple(range(1, 257)), usual=(1, 1024))]
    d_head: Annotated[Positive, Dimension("Head width", "d_head", (64, 96, 128), usual=(16, 1024))]


FIELDS = Lightning


def in_words(mixer: Any) -> str:
    """For a sentence of a report."""
    return f"{mixer.n_heads} linear heads of {mixer.d_head}"


_CHUNK = 256.0


def n_params(mixer: Any, d_model: int) -> Number:
    """Parameters of the five projections and the norm."""
    inner = mixer.n_heads * mixer.d_head
    return 5 * d_model * inner + inner


def weights(mixer: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    inner = mixer.n_heads * mixer.d_head / tensor_parallel
    return Weights(5 * d_model * inner, inner)


def kv_elements(mixer: Any, tokens: int, tensor_parallel: int) -> Number:
    """None: nothing grows with the sequence."""
    return 0


def state_bytes(mixer: Any, tensor_parallel: int) -> Number:
    """Bytes one sequence keeps on one rank: the state; there is no convolution."""
    return _scan.STATE_BYTES * mixer.n_heads / tensor_parallel * mixer.d_head**2


def operators(mixer: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    rows, inner = step.rows, mixer.n_heads * mixer.d_head / step.split.tensor_parallel
    return [
        Elementwise("mixer norm, residual", rows * 6 * step.d_model),
        Gemm("state input projection", rows, 4 * inner, step.d_model),
        Elementwise("activation, gate, norm", rows * 14 * inner),
        *_scan.operators(
            step,
            state=inner * mixer.d_head,
            fixed=state_bytes(mixer, step.split.tensor_parallel),
            read=3 * inner,
            out=inner,
            flops=inner * (4 * mixer.d_head + 2 * _CHUNK),
            chunk=_CHUNK,
        ),
        Gemm("state output projection", rows, step.d_model, inner),
        AllReduce("mixer all-reduce", rows * 2 * step.d_model),
    ]


def stands_for(mixer: Any) -> dict[str, int]:
    """The layer in the words of the rules."""
    return {"n_kv_heads": mixer.n_heads}
