"""Stages of layers, one behind the other: each has one layer at least."""

from optimizer.spec.architecture import Architecture
from optimizer.spec.split import Split


def why_not(architecture: Architecture, split: Split, tokens: int) -> str:
    """Why a model cannot have so many stages; '' if it can."""
    n = architecture.n_layers
    return f"more stages than the {n} layers" if split.pipeline_parallel > n else ""
