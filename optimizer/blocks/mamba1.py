"""Mamba-1: selective scan, a state of d_state per channel; with Jamba's norms of step, input and output.

Parameters: 2 d d_inner + d_inner (K + 1) + d_inner (R + 2 N) + R d_inner + d_inner + d_inner N + d_inner
+ (R + 2 N) + d_inner d, with R = d_dt, N = d_state, K = d_conv (arXiv 2403.19887; transformers 5.23.0,
models/jamba). The scan is 9 d_inner N FLOP a token and has no matrix product (state-spaces/mamba's own count,
recalled); it runs on the vector units, whose peak is about 1/16 of the matrix units' (A100 19.5 against
312 TFLOP/s), and is counted as 16 times its arithmetic.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from optimizer.blocks import _scan
from optimizer.blocks._fields import Dimension, Half, Positive
from optimizer.blocks.operators import AllReduce, Elementwise, Gemm, Number, Operator, Weights
from optimizer.blocks.step import Step

ROLE = "mixer"
CAVEAT = _scan.CAVEAT


class Mamba1(Half):
    """Selective state-space layer of Mamba-1 as Jamba has it: a state of d_state for each inner channel."""

    kind: Literal["mamba1"] = "mamba1"
    d_inner: Annotated[Positive, Dimension("Inner width", "d_inner", tuple(range(512, 32769, 256)))]
    d_state: Annotated[Positive, Dimension("State", "state", (16,))]
    d_dt: Annotated[Positive, Dimension("Width of the step sizes", "d_dt", (256,))]
    """Width of the bottleneck through which the step sizes are projected."""
    d_conv: Positive = 4
    scan_norm: bool = Field(default=True, exclude_if=bool)
    """Norms with weights of the step sizes, inputs and outputs of the scan; Mamba itself has none."""

    @property
    def ordinary(self) -> bool:
        """Whether it is a point of lattices, whose layers have the norms."""
        return self.scan_norm


FIELDS = Mamba1


def in_words(mixer: Any) -> str:
    """For a sentence of a report."""
    return f"Mamba-1 of d_inner {mixer.d_inner} x {mixer.d_state}"


_CHUNK = 2048.0  # the kernel keeps the state on chip and writes it once per 2048 tokens
_VECTOR_SHARE = 16.0


def n_params(mixer: Any, d_model: int) -> Number:
    """Parameters of projections, convolution, recurrence and norms."""
    stored = weights(mixer, d_model, 1)
    return stored.matrix + stored.vector


def weights(mixer: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank: channels are split; the three small norms are on every rank."""
    inner, selected = mixer.d_inner / tensor_parallel, mixer.d_dt + 2 * mixer.d_state
    matrix = 3 * d_model * inner + inner * selected + mixer.d_dt * inner
    norms = selected if getattr(mixer, "scan_norm", True) else 0
    return Weights(matrix, inner * (mixer.d_conv + 3 + mixer.d_state) + norms)


def kv_elements(mixer: Any, tokens: int, tensor_parallel: int) -> Number:
    """None: nothing grows with the sequence."""
    return 0


def state_bytes(mixer: Any, tensor_parallel: int) -> Number:
    """Bytes one sequence keeps on one rank: the state, and d_conv columns before the convolution."""
    inner = mixer.d_inner / tensor_parallel
    return inner * (_scan.STATE_BYTES * mixer.d_state + _scan.CONV_BYTES * mixer.d_conv)


def operators(mixer: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    rows, inner = step.rows, mixer.d_inner / step.split.tensor_parallel
    selected = mixer.d_dt + 2 * mixer.d_state
    return [
        Elementwise("mixer norm, residual", rows * 6 * step.d_model),
        Gemm("state input projection", rows, 2 * inner, step.d_model),
        Elementwise("convolution, gate, norm", rows * 10 * inner),
        Gemm("selection projection", rows, selected, inner),
        AllReduce("selection all-reduce", rows * 2 * selected),
        Gemm("step projection", rows, inner, mixer.d_dt),
        *_scan.operators(
            step,
            state=inner * mixer.d_state,
            fixed=state_bytes(mixer, step.split.tensor_parallel),
            read=3 * inner + 2 * mixer.d_state,
            out=inner,
            flops=_VECTOR_SHARE * 9 * inner * mixer.d_state,
            chunk=_CHUNK,
        ),
        Gemm("state output projection", rows, step.d_model, inner),
        AllReduce("mixer all-reduce", rows * 2 * step.d_model),
    ]


def stands_for(mixer: Any) -> dict[str, int]:
    """The layer in the words of the rules."""
    width = mixer.d_inner
    return {"n_heads": width, "n_kv_heads": width, "d_head": 1, "d_ff": width}
