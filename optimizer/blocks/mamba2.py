"""Mamba-2: state-space duality; H = d_inner / d_ssm_head heads, each with a state of d_ssm_head x d_state.

Parameters: d (2 d_inner + 2 G N + H) + (d_inner + 2 G N)(K + 1) + 3 H + d_inner + d_inner d, with G groups,
N = d_state, K = d_conv (state-spaces/mamba @e9594ce1, mamba2.py); reproduces Mamba2-2.7B's 2,702,599,680.
Scan of prompts in chunks of Q = 128: 4 H P N + Q (G N + H P) FLOP a token (arXiv 2405.21060). Heads are split
over ranks; a group is on every rank that has one of its heads.
"""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from optimizer.blocks import _scan
from optimizer.blocks._fields import Dimension, Half, Positive
from optimizer.blocks.operators import AllReduce, Elementwise, Gemm, Number, Operator, Weights
from optimizer.blocks.step import Step

ROLE = "mixer"
CAVEAT = _scan.CAVEAT


class Mamba2(Half):
    """State-space layer of Mamba-2: d_inner / d_ssm_head heads, each with a d_ssm_head x d_state state."""

    kind: Literal["mamba2"] = "mamba2"
    d_inner: Annotated[Positive, Dimension("Inner width", "d_inner", tuple(range(512, 32769, 256)))]
    d_ssm_head: Annotated[Positive, Dimension("Head width", "d_head", (64,), rises=False)]
    d_state: Annotated[Positive, Dimension("State", "state", (128,))]
    n_groups: Annotated[Positive, Dimension("Groups", "groups", (1,))] = 1
    d_conv: Positive = 4
    scan_norm: bool = Field(default=True, exclude_if=bool)
    """The gated norm behind the scan; Falcon-H1 may go without."""

    @property
    def ordinary(self) -> bool:
        """Whether it is a point of lattices, whose layers have the norm."""
        return self.scan_norm

    @model_validator(mode="after")
    def _heads(self) -> "Mamba2":
        if self.d_inner % self.d_ssm_head:
            raise ValueError(f"d_ssm_head {self.d_ssm_head} does not divide d_inner {self.d_inner}")
        return self


FIELDS = Mamba2


def legal(d_inner: Number, d_ssm_head: Number) -> Number:
    """Whether the inner width is whole heads."""
    return d_inner % d_ssm_head == 0


def in_words(mixer: Any) -> str:
    """For a sentence of a report."""
    m = mixer
    return (
        f"Mamba-2 of d_inner {m.d_inner}: {m.d_inner // m.d_ssm_head} heads of {m.d_ssm_head} x {m.d_state}"
    )


_CHUNK = 128.0


def n_params(mixer: Any, d_model: int) -> Number:
    """Parameters of projections, convolution, per-head scalars and the gated norm."""
    n_ssm_heads, grouped = mixer.d_inner / mixer.d_ssm_head, 2 * mixer.n_groups * mixer.d_state
    projections = d_model * (2 * mixer.d_inner + grouped + n_ssm_heads) + mixer.d_inner * d_model
    norm = _norm(mixer) * mixer.d_inner
    return projections + (mixer.d_inner + grouped) * (mixer.d_conv + 1) + 3 * n_ssm_heads + norm


def weights(mixer: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    inner, n_ssm_heads, grouped = _shard(mixer, tensor_parallel)
    matrix = d_model * (2 * inner + grouped + n_ssm_heads) + inner * d_model
    return Weights(matrix, (inner + grouped) * (mixer.d_conv + 1) + 3 * n_ssm_heads + _norm(mixer) * inner)


def _norm(mixer: Any) -> int:
    """Whether there is a norm behind the scan: in lattices always."""
    return int(getattr(mixer, "scan_norm", True))


def kv_elements(mixer: Any, tokens: int, tensor_parallel: int) -> Number:
    """None: nothing grows with the sequence."""
    return 0


def state_bytes(mixer: Any, tensor_parallel: int) -> Number:
    """Bytes one sequence keeps on one rank: the state, and d_conv columns before the convolution."""
    inner, _, grouped = _shard(mixer, tensor_parallel)
    return _scan.STATE_BYTES * inner * mixer.d_state + _scan.CONV_BYTES * (inner + grouped) * mixer.d_conv


def operators(mixer: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    rows, n_state = step.rows, mixer.d_state
    inner, n_ssm_heads, grouped = _shard(mixer, step.split.tensor_parallel)
    return [
        Elementwise("mixer norm, residual", rows * 6 * step.d_model),
        Gemm("state input projection", rows, 2 * inner + grouped + n_ssm_heads, step.d_model),
        Elementwise("convolution, gate, norm", rows * (4 * (inner + grouped) + 6 * inner)),
        *_scan.operators(
            step,
            state=inner * n_state,
            fixed=state_bytes(mixer, step.split.tensor_parallel),
            read=inner + grouped + n_ssm_heads,
            out=inner,
            flops=4 * inner * n_state + _CHUNK * (grouped / 2 + inner),
            chunk=_CHUNK,
        ),
        Gemm("state output projection", rows, step.d_model, inner),
        AllReduce("mixer all-reduce", rows * 2 * step.d_model),
    ]


def _shard(mixer: Any, tensor_parallel: int) -> tuple[Number, Number, Number]:
    """Inner width, heads, and width of the groups' inputs and outputs, on one rank."""
    inner = mixer.d_inner / tensor_parallel
    groups = np.ceil(mixer.n_groups / tensor_parallel)
    return inner, inner / mixer.d_ssm_head, 2 * groups * mixer.d_state


def stands_for(mixer: Any) -> dict[str, int]:
    """The layer in the words of the rules."""
    heads = mixer.d_inner // mixer.d_ssm_head
    return {"n_heads": heads, "n_kv_heads": heads, "d_head": mixer.d_ssm_head, "d_ff": mixer.d_inner}
