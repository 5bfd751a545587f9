"""Arithmetic of training, in the two conventions in use.

Per token, with N the parameters of the products a token meets (no input table, the head included):

    causal = 6 N + 6 sum over attention layers of n_heads (d_query + d_value) / 2 x mean context x ...
    full   = the same with every query attending to the whole sequence

MFU divides model FLOP by time and peak. Megatron's older reports, llm-foundry, NeMo up to 24.07 and MaxText's
tables count full attention; Megatron-Bridge and kernels that skip masked tiles count causal. HFU adds what is
computed again. Backward is twice forward (2.5 times in a flash kernel's time, never in MFU).
"""

from dataclasses import dataclass
from typing import Any

from optimizer.blocks import block
from optimizer.blocks.operators import Experts, Gemm, PrefillAttention, Step
from optimizer.spec.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Flops:
    """Forward FLOP of one token: products, and the attention core in both conventions."""

    products: float
    attention_causal: float
    attention_full: float

    def model(self, causal: bool) -> float:
        """Model FLOP of one token, forward and backward."""
        return 3 * (self.products + (self.attention_causal if causal else self.attention_full))

    def hardware(self, recompute: str, causal: bool) -> float:
        """Model FLOP and what is computed again."""
        attention = self.attention_causal if causal else self.attention_full
        again = {"none": 0.0, "selective": attention, "full": self.products + attention}[recompute]
        return self.model(causal) + again


def forward_flops(architecture: Architecture, sequence_length: int) -> Flops:
    """Forward FLOP per token of a whole model on sequences of this length."""
    step = Step(architecture.d_model, 1, 0, 0, 1.0, sequence_length)
    products = 2.0 * architecture.d_model * architecture.vocab_size * sequence_length
    causal = full = 0.0
    for group in architecture.layers:
        for part in (group.block.mixer, group.block.ffn):
            for op in block(part).operators(part, step):
                a, b, c = _forward(op)
                products, causal, full = (
                    products + group.count * a,
                    causal + group.count * b,
                    full + group.count * c,
                )
    router = sum(
        2.0 * architecture.d_model * group.block.ffn.n_experts * group.count * sequence_length
        for group in architecture.layers
        if group.block.ffn.kind == "moe"
    )
    return Flops((products + router) / sequence_length, causal / sequence_length, full / sequence_length)


def _forward(op: Any) -> tuple[float, float, float]:
    """(products, causal attention, full attention) of one operator."""
    match op:
        case Gemm():
            return 2.0 * op.m * op.n * op.k, 0.0, 0.0
        case Experts():
            pairs = op.rows * op.n_active * op.n_local / op.n_experts
            return 2.0 * (2 + op.gated) * op.d_model * op.d_expert * pairs, 0.0, 0.0
        case PrefillAttention():
            width = 4.0 * op.prompts * op.n_heads * op.d_head
            pairs = op.tokens * op.window - op.window * (op.window - 1) / 2
            return 0.0, width * pairs, width * op.tokens * min(op.tokens, 2 * op.window)
    return 0.0, 0.0, 0.0
