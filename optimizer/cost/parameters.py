"""Parameter counts of an architecture: all of them, and those that one token meets, by three conventions.

Publishers of mixtures differ in whether 'active' includes the input table, the output table or neither; what
a token costs in arithmetic follows the count without the input table, which is a look-up.
"""

from dataclasses import dataclass
from typing import Any

from optimizer.blocks import block, embedding
from optimizer.blocks.operators import Number
from optimizer.spec.architecture import Architecture


@dataclass(frozen=True, slots=True)
class ParameterCounts:
    """Parameters of an architecture. A tied table is the head's, so that leaving out the input's keeps it."""

    total: int
    active: int
    active_without_input_table: int
    active_without_tables: int

    def active_by(self, convention: str) -> int:
        """The active count by a publisher's convention."""
        return {
            "all": self.active,
            "no_input_embedding": self.active_without_input_table,
            "no_embeddings": self.active_without_tables,
        }[convention]


def parameter_counts(architecture: Architecture) -> ParameterCounts:
    """Count the parameters of an architecture, layer by layer."""
    a = architecture
    total = active = a.outer_params + embedding.n_params(
        a.d_model, a.vocab_size, a.tied_embeddings, a.position_embeddings, a.final_bias
    )
    for group in a.layers:
        own = group.block
        norms = own.norms.elements(a.d_model)
        total += group.count * int(norms + sum(_stored(part, a.d_model) for part in (own.mixer, own.ffn)))
        active += group.count * int(norms + sum(_active(part, a.d_model) for part in (own.mixer, own.ffn)))
    tables = embedding.n_embedding_params(a.d_model, a.vocab_size, a.tied_embeddings)
    input_table = 0 if a.tied_embeddings else tables // 2
    return ParameterCounts(total, active, active - input_table, active - tables)


def _stored(part: Any, d_model: int) -> Number:
    return block(part).n_params(part, d_model)


def _active(part: Any, d_model: int) -> Number:
    """Modules in which a token meets every parameter have no count of their own."""
    count = getattr(block(part), "n_active_params", block(part).n_params)
    return count(part, d_model)
