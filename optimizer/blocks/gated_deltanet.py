"""Gated DeltaNet (Qwen3-Next): linear attention whose state is corrected by a delta rule.

The state is d_key x d_value numbers a value head.

Parameters: d (2 Kd + 2 Vd) + 2 d n_v + (2 Kd + Vd) d_conv + 2 n_v + d_value + Vd d, with Kd, Vd the widths of
all key and all value heads (transformers, models/qwen3_next; arXiv 2412.06464). Scan of prompts in chunks of
Q = 64: n_v (6 d_key d_value + Q (3 d_key + 2 d_value)) FLOP a token: read, correct and write the state;
inside a chunk, keys against keys and queries, and three products with the triangle that results. Derived
here, not measured. Value heads are split over ranks, and key heads as far as they go.
"""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import model_validator

from optimizer.blocks import _scan
from optimizer.blocks._fields import Dimension, Half, Positive
from optimizer.blocks.operators import AllReduce, Elementwise, Gemm, Number, Operator, Weights
from optimizer.blocks.step import Step

ROLE = "mixer"
CAVEAT = _scan.CAVEAT
OUTSIDE = {"kv_sharing": "what it says was found for softmax attention"}


class GatedDeltaNet(Half):
    """Linear attention with a delta rule (Qwen3-Next): a d_key x d_value state for each value head."""

    kind: Literal["gated_deltanet"] = "gated_deltanet"
    n_key_heads: Annotated[Positive, Dimension("Key heads", "keys", tuple(range(1, 129)), rank=1)]
    n_value_heads: Annotated[Positive, Dimension("Value heads", "values", tuple(range(1, 257)))]
    d_key: Annotated[Positive, Dimension("Key width", "d_key", (128,))]
    d_value: Annotated[Positive, Dimension("Value width", "d_value", (128,), usual=(16, 1024))]
    d_conv: Positive = 4

    @model_validator(mode="after")
    def _groups(self) -> "GatedDeltaNet":
        if self.n_value_heads % self.n_key_heads:
            raise ValueError(
                f"n_key_heads {self.n_key_heads} does not divide n_value_heads {self.n_value_heads}"
            )
        return self


FIELDS = GatedDeltaNet


def legal(n_value_heads: Number, n_key_heads: Number) -> Number:
    """Whether value heads fall into equal groups, one for each key head."""
    return n_value_heads % n_key_heads == 0


def in_words(mixer: Any) -> str:
    """For a sentence of a report."""
    m = mixer
    return f"{m.n_value_heads} value heads of {m.d_value} on {m.n_key_heads} key heads of {m.d_key}"


_CHUNK = 64.0


def n_params(mixer: Any, d_model: int) -> Number:
    """Parameters of projections, convolution, per-head scalars and the output norm."""
    stored = weights(mixer, d_model, 1)
    return stored.matrix + stored.vector


def weights(mixer: Any, d_model: int, tensor_parallel: int) -> Weights:
    """Elements stored on one rank."""
    heads, keys, values = _shard(mixer, tensor_parallel)
    matrix = d_model * (2 * keys + 3 * values + 2 * heads)
    return Weights(matrix, (2 * keys + values) * mixer.d_conv + 2 * heads + mixer.d_value)


def kv_elements(mixer: Any, tokens: int, tensor_parallel: int) -> Number:
    """None: nothing grows with the sequence."""
    return 0


def state_bytes(mixer: Any, tensor_parallel: int) -> Number:
    """Bytes one sequence keeps on one rank: the state, and d_conv columns before the convolution."""
    _, keys, values = _shard(mixer, tensor_parallel)
    return _scan.STATE_BYTES * values * mixer.d_key + _scan.CONV_BYTES * (2 * keys + values) * mixer.d_conv


def operators(mixer: Any, step: Step) -> list[Operator]:
    """Operators of one layer in a step."""
    rows = step.rows
    heads, keys, values = _shard(mixer, step.split.tensor_parallel)
    products = 6 * mixer.d_key * mixer.d_value + _CHUNK * (3 * mixer.d_key + 2 * mixer.d_value)
    return [
        Elementwise("mixer norm, residual", rows * 6 * step.d_model),
        Gemm("state input projection", rows, 2 * keys + 2 * values + 2 * heads, step.d_model),
        Elementwise("convolution, gate, norm", rows * (4 * (2 * keys + values) + 6 * values)),
        *_scan.operators(
            step,
            state=values * mixer.d_key,
            fixed=state_bytes(mixer, step.split.tensor_parallel),
            read=2 * keys + values + 2 * heads,
            out=values,
            flops=heads * products,
            chunk=_CHUNK,
        ),
        Gemm("state output projection", rows, step.d_model, values),
        AllReduce("mixer all-reduce", rows * 2 * step.d_model),
    ]


def _shard(mixer: Any, tensor_parallel: int) -> tuple[Number, Number, Number]:
    """Value heads, width of the key heads and width of the value heads on one rank."""
    heads = mixer.n_value_heads / tensor_parallel
    return heads, np.ceil(mixer.n_key_heads / tensor_parallel) * mixer.d_key, heads * mixer.d_value


def stands_for(mixer: Any) -> dict[str, int]:
    """The layer in the words of the rules."""
    m = mixer
    return {"n_heads": m.n_value_heads, "n_kv_heads": m.n_key_heads, "d_head": m.d_value}
