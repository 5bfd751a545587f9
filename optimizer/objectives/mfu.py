"""Model FLOPs utilisation of a training run: the model's arithmetic over the bf16 peak, recomputation apart.

mfu = train_tokens_per_s / chips x FLOPs of a token / peak
"""

from optimizer.blocks.operators import Number
from optimizer.cost.training.run import Run

TITLE = "Model FLOPs utilisation"
RANK = 13
UNIT, BETTER = "", "higher"


def trained(run: Run) -> Number:
    """Share of the peak."""
    return run.tokens / run.step_s / run.chips * run.flops_per_token / run.chip.dense_flops["bf16"]
