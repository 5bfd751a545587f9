"""A training run in the figures that its metrics are made of; arrays broadcast."""

from dataclasses import dataclass

from optimizer.blocks.operators import Number
from optimizer.spec.chip import Chip


@dataclass(frozen=True)
class Run:
    """What a split costs, and the batch and the tokens that it works through."""

    step_s: Number
    chips: Number
    memory: Number
    """Bytes on the fullest chip."""
    tokens: int
    """Of one step."""
    training_tokens: float
    flops_per_token: float
    """Of the model, without recomputation, causal attention counted once."""
    chip: Chip
    share: Number = 1.0
    """Of the wall time of a long run, in which it trains at the pace of its steps."""

    @property
    def steps(self) -> float:
        """Steps until all training tokens are seen."""
        return self.training_tokens / self.tokens
