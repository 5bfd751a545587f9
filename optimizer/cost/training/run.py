"""A training run in the figures that its metrics are made of; arrays broadcast."""

from collections.abc import Sequence
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


def mean_chip(used: Sequence[tuple[Chip, Number]]) -> Chip:
    """The chip of which as many cost and reach what so many of each of some kinds do.

    Of unlike chips a run has no one chip, and metrics ask for its price and its peaks. There is no price
    where one of them has none.
    """
    n = sum(count for _, count in used)
    prices = [(chip.usd_per_chip_hour, count) for chip, count in used]
    shared = set.intersection(*(set(chip.dense_flops) for chip, _ in used))
    return used[0][0].supposed(
        usd_per_chip_hour=None
        if any(price is None for price, _ in prices)
        else sum((price or 0.0) * count for price, count in prices) / n,
        dense_flops={
            dtype: sum(chip.dense_flops[dtype] * count for chip, count in used) / n
            for dtype in sorted(shared)
        },
    )
