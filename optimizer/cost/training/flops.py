"""Arithmetic of training, in the two conventions in use.

Forward FLOP of a token: twice the parameters it meets in products (the head, not the input table; of a
mixture the experts it uses and the router), and the attention core, 4 n_heads d_head for each pair of query
and key. `causal` counts the pairs that the mask leaves, about half of the sequence (or window) for each
query; `full` counts all. Backward is twice forward. (A flash kernel takes 2.5 times: that is time, not MFU.)

MFU divides model FLOP by time and peak; HFU adds what is computed again. Megatron's reports up to 2023,
llm-foundry, NeMo 24.07 and MaxText count full attention, Megatron-Bridge counts causal. With 4 h wide
networks and full attention this is Megatron's 72 B L s h^2 (1 + s/6h + V/12hL), arXiv 2104.04473.
"""

from dataclasses import dataclass

from optimizer.blocks import block
from optimizer.blocks.operators import Experts, Gemm, Operator, PrefillAttention
from optimizer.blocks.step import Step
from optimizer.spec.architecture import Architecture
from optimizer.spec.split import Split


@dataclass(frozen=True, slots=True)
class Flops:
    """Forward FLOP of one token: products of the layers, the head, the attention core both ways."""

    layers: float
    head: float
    attention_causal: float
    attention_full: float
    rebuilt: float = 0.0
    """Part of the layers: products that light recomputation runs again."""

    def model(self, causal: bool) -> float:
        """Model FLOP of one token, forward and backward."""
        return 3 * (self.layers + self.head + self._attention(causal))

    def hardware(self, recompute: str, causal: bool) -> float:
        """Model FLOP and what is computed again: some products, the attention core, or whole layers."""
        attention = self._attention(causal)
        again = {
            "none": 0.0,
            "light": self.rebuilt,
            "selective": attention,
            "full": self.layers + attention,
        }
        return self.model(causal) + again[recompute]

    def _attention(self, causal: bool) -> float:
        return self.attention_causal if causal else self.attention_full


def forward_flops(architecture: Architecture, sequence_length: int) -> Flops:
    """Forward FLOP per token of a whole model on sequences of this length."""
    step = Step(architecture.d_model, Split(), 0, 0, 1.0, sequence_length)
    layers = causal = full = rebuilt = 0.0
    for group in architecture.layers:
        for part in (group.block.mixer, group.block.ffn):
            for op in block(part).operators(part, step):
                layers += group.count * _products(op)
                again = getattr(op, "name", "") in getattr(block(part), "REBUILT", ())
                rebuilt += group.count * _products(op) if again else 0.0
                causal += group.count * _attention(op, causal=True)
                full += group.count * _attention(op, causal=False)
            hidden = getattr(block(part), "hidden_flops", None)
            if hidden:
                layers += group.count * hidden(part, architecture.d_model) * sequence_length
    head = 2.0 * architecture.d_model * architecture.vocab_size
    per_token = (layers, causal, full, rebuilt)
    layers, causal, full, rebuilt = (value / sequence_length for value in per_token)
    return Flops(layers, head, causal, full, rebuilt)


def _products(op: Operator) -> float:
    match op:
        case Gemm():
            return float(2.0 * op.m * op.n * op.k)
        case Experts():
            pairs = op.rows * op.n_active * op.n_local / op.n_experts
            return float(2.0 * (2 + op.gated) * op.d_model * op.d_expert * pairs)
    return 0.0


def _attention(op: Operator, causal: bool) -> float:
    if not isinstance(op, PrefillAttention):
        return 0.0
    tokens, window = op.tokens, op.window
    pairs = tokens * window - window * (window - 1) / 2 if causal else tokens * window
    return float(4.0 * op.prompts * op.n_heads * op.d_head * pairs)
