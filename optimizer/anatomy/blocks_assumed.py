"""Whether 8-bit weights that nobody described would run if they had the blocks that most checkpoints have."""

from optimizer.columns.replica_costs import keeps
from optimizer.cost.frame import Frame
from optimizer.spec.answer import Assumption
from optimizer.spec.architecture import Architecture

USUAL = 128
"""Rows and columns that share a scale in DeepSeek-V3 and in what followed it."""


def blocks_assumed(frame: Frame, architecture: Architecture) -> tuple[Assumption, ...]:
    """A caveat where fp8 was asked of a model that says no format, on ranks that would cut such blocks."""
    plain = frame.formats.weight_dtype == "fp8" and frame.formats.checkpoint is None
    if not plain or keeps("quantisation_blocks", USUAL, architecture, frame):
        return ()
    value = (
        f"are taken to have a scale a row: a checkpoint in blocks of {USUAL} x {USUAL} does not run at "
        f"tensor_parallel {frame.split.tensor_parallel}, which cuts them; expert_parallel keeps experts whole"
    )
    return (Assumption(name="fp8 weights", value=value, source="vllm-project/vllm issue 25292", caveat=True),)
