"""The least an additive quantity can be, given only a parameter count: the speed of light of a frame.

Every weight is read and multiplied at the achieved rates, every kernel starts, every cache entry of the
narrowest attention is read, every all-reduce runs. Nothing is known of the shapes, so no plan of the frame
is below it. Thousands of frames are bounded at once, before any column is computed.

    sum over products of max(memory, compute)  >=  max(sum of memory, sum of compute)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.blocks.operators import AllReduce, DecodeAttention, Elementwise, Number
from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import QUANTITIES, passes, roofline, step_of
from optimizer.cost.training.quantity import floor_bytes, floor_s
from optimizer.spec.dtypes import BYTES

_PRODUCTS, _ELEMENTWISE, _ALL_REDUCES = 4, 4, 2  # kernels of one layer


@dataclass(frozen=True)
class Narrowest:
    """Least widths of any attention kind allowed, per rank, and the most elements no matrix holds."""

    query_width: Any
    kv_width: Any
    vector_params: Any
    """Norms and biases of one layer, at most."""
    attention_window: int | None

    def at(self, rows: Any) -> "Narrowest":
        """The widths at some rows of the arrays."""
        widths = (self.query_width[rows], self.kv_width[rows], self.vector_params[rows])
        return Narrowest(*widths, self.attention_window)


def floors(frame: Frame, n_layers: Any, n_params: Any, narrowest: Narrowest) -> dict[str, Number]:
    """Lower bound of every quantity, for at least `n_params` parameters in `n_layers` layers.

    Arrays in `frame.d_model`, `n_layers`, `n_params` and `narrowest` broadcast.
    """
    matrix = np.maximum(
        0.0, n_params - QUANTITIES["n_params"].base(frame) - n_layers * narrowest.vector_params
    )
    shard = matrix / frame.tensor_parallel
    started = n_layers * frame.chip.efficiency.attention_decode["bf16"].overhead
    cached = n_layers * _cache_read(frame, narrowest)

    def step(phase: str) -> Number:
        layers = _layers(frame, n_layers, shard, narrowest, step_of(frame, phase).rows)
        times = passes(frame) if phase == "prefill" else 1.0
        return times * layers + QUANTITIES[f"{phase}_s"].base(frame)

    decode, prefill = step("decode") + cached, step("prefill") + started
    mixed = step("mixed") + cached + started
    kept = _kept(narrowest, frame.input_tokens + frame.output_tokens)
    cache = frame.batch * 2 * narrowest.kv_width * kept * BYTES[frame.kv_dtype]
    stored = BYTES[frame.weight_dtype] * shard + n_layers * (cache + memory.norm_bytes(frame))
    return {
        "n_params": n_params,
        "memory_bytes": memory.shared_bytes(frame) + stored,
        "decode_s": decode,
        "prefill_s": prefill,
        "mixed_s": mixed,
    } | _training(frame, n_layers, matrix, narrowest)


def _training(frame: Frame, n_layers: Any, matrix: Any, narrowest: Narrowest) -> dict[str, Number]:
    """The least a training step takes and keeps; 0 where nobody asked."""
    run = frame.training
    if run is None:
        return {"train_s": 0.0, "train_bytes": 0.0}
    width = narrowest.query_width * frame.tensor_parallel
    seconds = floor_s(run, n_layers, matrix, frame.d_model, width, narrowest.attention_window)
    kept = floor_bytes(run, n_layers, matrix, frame.d_model)
    return {
        "train_s": seconds + QUANTITIES["train_s"].base(frame),
        "train_bytes": kept + QUANTITIES["train_bytes"].base(frame),
    }


def _cache_read(frame: Frame, narrowest: Narrowest) -> Number:
    """Seconds of the narrowest decode attention of one layer."""
    core = DecodeAttention(
        "attention",
        frame.batch,
        _kept(narrowest, frame.decode_context),
        narrowest.query_width,
        narrowest.kv_width,
        1,
    )
    return roofline(frame).cost(core).seconds


def _layers(frame: Frame, n_layers: Any, shard: Any, narrowest: Narrowest, rows: float) -> Number:
    """Products, elementwise kernels and all-reduces of all layers on `rows` tokens."""
    rates, chip = roofline(frame), frame.chip
    fit = chip.gemm(frame.weight_dtype)
    peak = chip.dense_flops[chip.arithmetic(frame.weight_dtype)] * fit.compute
    read = BYTES[frame.weight_dtype] * shard / (chip.hbm_bandwidth * fit.memory)
    products = np.maximum(read, 2.0 * rows * shard / peak) + n_layers * _PRODUCTS * fit.overhead
    width = 12 * frame.d_model + 4 * narrowest.query_width
    traffic = rates.cost(Elementwise("", rows * width)).memory_s
    elementwise = traffic + _ELEMENTWISE * chip.efficiency.elementwise.overhead
    reduce = _ALL_REDUCES * rates.cost(AllReduce("", rows * 2 * frame.d_model)).seconds
    return products + n_layers * (elementwise + reduce)


def _kept(narrowest: Narrowest, tokens: float) -> float:
    window = narrowest.attention_window
    return tokens if window is None else min(tokens, window)
