"""One forward pass, as the blocks that run in it see it."""

from dataclasses import dataclass

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.blocks.padding import EXACT, Padding
from optimizer.spec.split import Split


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass of an attention rank: new tokens of `batch` sequences, and some prompts.

    A decode step has no prompts, a prefill no batch, a step of continuous batching both. `prompts` is a rate
    and need not be whole. `split.data_parallel` such ranks share the experts.
    `batch` and `prompts` may be arrays: many steps at once.
    """

    d_model: Number
    split: Split
    batch: Number
    context: float
    prompts: Number
    prompt_tokens: float
    prefix: float = 0
    """Cached tokens before each prompt."""
    chunks: int = 1
    """A prompt comes in so many chunks of `prompt_tokens`, in as many steps; this is their mean."""
    queries: int = 1
    """New tokens of each sequence: one, and those drafted."""
    padding: Padding = EXACT
    """What the engine rounds up where ranks do not share a layer evenly."""

    @property
    def decodes(self) -> bool:
        """Whether sequences are decoded."""
        return bool(np.any(self.batch))

    @property
    def prefills(self) -> bool:
        """Whether prompts are prefilled."""
        return bool(np.any(self.prompts))

    @property
    def decoded(self) -> Number:
        """Tokens of decoded sequences that each rank computes; where ranks share sequences, the busiest."""
        n = self.split.sequence_ranks
        each = self.batch if n == 1 else np.minimum(self.batch, np.maximum(1.0, self.batch / n))
        return each * self.queries

    @property
    def prompted(self) -> Number:
        """Tokens of prompts that each rank computes."""
        whole, n = self.prompts * self.prompt_tokens, self.split.sequence_ranks
        return whole if n == 1 else whole / n

    @property
    def rows(self) -> Number:
        """Tokens that each rank computes."""
        return self.decoded + self.prompted

    @property
    def attended(self) -> Number:
        """Tokens of one prompt whose keys a step needs: those before the mean chunk, and its own."""
        return self.prefix + (self.chunks + 1) * self.prompt_tokens / 2

    @property
    def sampled(self) -> Number:
        """Rows that need a next token, on the busiest rank: it has the ends of all prompts."""
        return self.decoded + self.prompts
