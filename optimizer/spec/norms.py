"""The layer norms of one layer: a part of its block, beside the mixer and the feed-forward half.

With them go hyper-connections (DeepSeek-V4): s residual streams of d_model, mixed before and after each half
by s^2 + 2 s weights that a product with all streams makes: (s^2 + 2 s) (s d + 1) + 3 parameters a half
(transformers 5.24, models/deepseek_v4). They are counted; their traffic is not priced.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Norms:
    """How many there are, whether they have biases, and the streams they stand in."""

    n_norms: int = 2
    norm_bias: bool = False
    n_streams: int = 1

    def elements(self, d_model: Any) -> Any:
        """Their parameters, for one width or an array of them."""
        own = self.n_norms * d_model * (1 + self.norm_bias)
        if self.n_streams == 1:
            return own
        mixed = self.n_streams * (self.n_streams + 2)
        return own + 2 * (mixed * (self.n_streams * d_model + 1) + 3)
