"""Token embedding and language-model head."""

import math

from optimizer.blocks.operators import Elementwise, Gemm, Operator
from optimizer.blocks.step import Step


def n_params(d_model: int, vocab_size: int, tied: bool, positions: int = 0, norm_bias: bool = False) -> int:
    """Parameters outside the layers: tables, learned positions, final norm."""
    return vocab_size * d_model * (1 if tied else 2) + positions * d_model + d_model * (1 + norm_bias)


def n_embedding_params(d_model: int, vocab_size: int, tied: bool) -> int:
    """Parameters of the two vocabulary tables: what 'non-embedding' counts leave out."""
    return vocab_size * d_model * (1 if tied else 2)


def table(d_model: int, vocab_size: int, tensor_parallel: int) -> int:
    """Elements of one vocabulary table on one rank; it is split along the padded vocabulary."""
    return padded_vocab(vocab_size, tensor_parallel) // tensor_parallel * d_model


def beside_tables(d_model: int, positions: int = 0) -> int:
    """Elements outside the layers and the tables that every rank holds: learned positions, final norm."""
    return positions * d_model + d_model


def padded_vocab(vocab_size: int, tensor_parallel: int) -> int:
    """Vocabulary padded so that each rank holds a multiple of 64 rows (Megatron, vLLM)."""
    step = 64 * tensor_parallel
    return math.ceil(vocab_size / step) * step


def operators(step: Step, vocab_size: int) -> list[Operator]:
    """Look up every row; compute logits only for the rows that need a next token."""
    shard = padded_vocab(vocab_size, step.split.tensor_parallel) // step.split.tensor_parallel
    return [
        Elementwise("embedding lookup, final norm", (step.rows + step.sampled) * 4 * step.d_model),
        Gemm("language-model head", step.sampled, shard, step.d_model, component="head"),
    ]
