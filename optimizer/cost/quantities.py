"""The additive quantities of a plan: a share of the frame plus a sum over its layers.

    q(plan) = base(frame) + sum over layers [ attention(layer) + ffn(layer) ]

Every metric is a function of one of them, which is what keeps the solver's rows linear. Layer parts
take one layer kind or arrays of kinds and return numbers or arrays to match.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optimizer.blocks import dense_ffn, embedding, gqa
from optimizer.blocks.operators import Host, Number, Operator
from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.roofline import Roofline
from optimizer.spec.architecture import Architecture


@dataclass(frozen=True)
class Quantity:
    """One additive quantity: its unit, and its parts."""

    unit: str
    base: Callable[[Frame], Number]
    attention: Callable[[Frame, Any], Number]
    ffn: Callable[[Frame, Any], Number]

    def total(self, frame: Frame, architecture: Architecture) -> float:
        """The quantity of a whole architecture in a frame."""
        layers = sum(
            group.count * (self.attention(frame, group.block.attention) + self.ffn(frame, group.block.ffn))
            for group in architecture.layers
        )
        return float(self.base(frame) + layers)


def roofline(frame: Frame) -> Roofline:
    """The rates of one rank of the frame."""
    return Roofline(frame.chip, frame.tensor_parallel, frame.weight_dtype, frame.kv_dtype)


def rows_of(frame: Frame, phase: str) -> tuple[float, float]:
    """Tokens a step computes, and how many of them sample a next token.

    'decode' is one token per sequence, 'prefill' one prompt, 'mixed' the steady state of continuous
    batching: one token per sequence, and as many prompt tokens as keep the batch full.
    """
    if phase == "decode":
        return frame.batch, frame.batch
    if phase == "prefill":
        return frame.input_tokens, 1
    prompts = frame.prompts_per_step
    return frame.batch + prompts * frame.input_tokens, frame.batch + prompts


def shared_operators(frame: Frame, phase: str) -> list[Operator]:
    """Operators of a step outside the layers."""
    rows, sampled = rows_of(frame, phase)
    outside = embedding.forward(frame.d_model, frame.vocab_size, frame.tensor_parallel, rows, sampled)
    return [*outside, Host("host", frame.host_ms * 1e-3)]


def attention_operators(frame: Frame, attention: Any, phase: str) -> list[Operator]:
    """Operators of the attention half of a layer in a phase."""
    d, t = frame.d_model, frame.tensor_parallel
    if phase == "decode":
        return gqa.decode(attention, d, t, frame.batch, frame.decode_context)
    if phase == "prefill":
        return gqa.prefill(attention, d, t, frame.input_tokens)
    return gqa.mixed(
        attention, d, t, frame.batch, frame.decode_context, frame.input_tokens, frame.prompts_per_step
    )


def ffn_operators(frame: Frame, ffn: Any, phase: str) -> list[Operator]:
    """Operators of the feed-forward half of a layer in a phase."""
    rows, _ = rows_of(frame, phase)
    return dense_ffn.forward(ffn, frame.d_model, frame.tensor_parallel, rows)


def _step(phase: str) -> Quantity:
    return Quantity(
        "s",
        lambda f: roofline(f).seconds(shared_operators(f, phase)),
        lambda f, a: roofline(f).seconds(attention_operators(f, a, phase)),
        lambda f, k: roofline(f).seconds(ffn_operators(f, k, phase)),
    )


QUANTITIES: dict[str, Quantity] = {
    "n_params": Quantity(
        "parameters",
        lambda f: embedding.n_params(
            f.d_model, f.vocab_size, f.tied_embeddings, f.position_embeddings, f.norm_bias
        ),
        lambda f, a: gqa.n_params(a, f.d_model) + f.n_norms * f.d_model * (1 + f.norm_bias),
        lambda f, k: dense_ffn.n_params(k, f.d_model),
    ),
    "memory_bytes": Quantity(
        "bytes",
        memory.shared_bytes,
        lambda f, a: memory.attention_bytes(a, f) + memory.norm_bytes(f),
        lambda f, k: memory.ffn_bytes(k, f),
    ),
    "decode_s": _step("decode"),
    "prefill_s": _step("prefill"),
    "mixed_s": _step("mixed"),
}
