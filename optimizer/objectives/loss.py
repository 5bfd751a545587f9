"""Predicted pre-training loss per token: the project's only measure of quality, and a rough one.

    loss = L(n_params, training_tokens) x S(d_model, n_layers, n_params) + delta(weight_dtype)

The laws, their sources and their limits: `optimizer.cost.quality`. Differences under 0.25 % are noise.
"""

from optimizer.blocks import embedding
from optimizer.blocks.operators import Number
from optimizer.cost import quality
from optimizer.cost.frame import Slice

TITLE = "Predicted pre-training loss"
QUANTITY, UNIT, BETTER, RISES = "n_params", "nats", "lower", None
STEP = 1e-5


def value(at: Slice, quantity: Number) -> Number:
    """Nats per token."""
    f = at.frame
    tables = embedding.n_embedding_params(f.d_model, f.vocab_size, f.tied_embeddings)
    return quality.loss(f.d_model, at.n_layers, quantity, tables, f.training_tokens, f.formats.weight_dtype)
