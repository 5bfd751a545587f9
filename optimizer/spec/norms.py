"""The layer norms of one layer: a part of its block, beside the mixer and the feed-forward half."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Norms:
    """How many there are, and whether they have biases."""

    n_norms: int = 2
    norm_bias: bool = False

    def elements(self, d_model: Any) -> Any:
        """Their parameters, for one width or an array of them."""
        return self.n_norms * d_model * (1 + self.norm_bias)
