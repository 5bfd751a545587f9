"""Attention ranks of one replica: each has its own sequences and cache, the experts are shared."""

from optimizer.blocks import n_experts
from optimizer.spec.architecture import Architecture
from optimizer.spec.split import Split


def why_not(architecture: Architecture, split: Split, tokens: int) -> str:
    """Why a model cannot have so many attention ranks; '' if it can."""
    shares = any(n_experts(group.block.ffn) for group in architecture.layers)
    if split.data_parallel > 1 and not shares:
        return "only a mixture of experts shares layers; more replicas do as well"
    return ""
