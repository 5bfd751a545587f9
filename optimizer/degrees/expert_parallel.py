"""Groups of ranks with whole experts: they divide the ranks, and the experts where the engine pads none."""

from optimizer.blocks import n_experts
from optimizer.spec.architecture import Architecture
from optimizer.spec.split import Split

PADS = "experts"


def why_not(architecture: Architecture, split: Split, tokens: int) -> str:
    """Why a model cannot have so many groups; '' if it can."""
    experts = {n_experts(g.block.ffn) for g in architecture.layers} - {0}
    ranks = split.tensor_parallel * split.data_parallel
    if split.expert_parallel > 1 and not experts:
        return "the model has no experts"
    if ranks % split.expert_parallel:
        return f"does not divide tensor_parallel x data_parallel = {ranks}"
    return _not_divided(experts) if any(n < split.expert_parallel for n in experts) else ""


def uneven(architecture: Architecture, split: Split) -> str:
    """Why ranks would not have equally many experts; '' if they have."""
    experts = {n_experts(g.block.ffn) for g in architecture.layers} - {0}
    return _not_divided(experts) if any(n % split.expert_parallel for n in experts) else ""


def _not_divided(experts: set[int]) -> str:
    return f"does not divide the {max(experts)} experts"
