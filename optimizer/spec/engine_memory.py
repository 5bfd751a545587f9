"""How an engine sets memory aside before any traffic comes: by a dry run, or by the size of the card."""

from typing import Annotated

from pydantic import Field

from optimizer.spec.base import Strict
from optimizer.spec.quantity import Tokens

Gib = Annotated[float, Field(ge=0, le=1e5)]
Mib = Annotated[float, Field(ge=0, le=1e5)]
Sequences = Annotated[int, Field(ge=1, le=10**6)]


class DryRun(Strict):
    """A step that an engine tries at its start: what it took is set aside, whatever traffic comes."""

    large_gib: Gib
    """Cards that show so much or more are large."""
    tokens: tuple[Tokens, Tokens]
    """Token budget on other cards and on large ones, where nobody gives one."""
    sequences: tuple[Sequences, Sequences]
    """Sequences whose next tokens are sampled together in it, likewise."""
    split_widths: Annotated[float, Field(ge=0, le=1e3)] = 10.5
    """Elements of 16 bit for each token and unit of d_model that the ranks of tensor parallelism share."""
    whole_widths: Annotated[float, Field(ge=0, le=1e3)] = 3.0
    """Those that every rank has."""
    exchanged_widths: Annotated[float, Field(ge=0, le=1e3)] = 2.0
    """Those that every rank has more where there are several."""
    sampler_bytes: Annotated[float, Field(ge=0, le=1e3)] = 0.0
    """For each of them and each word of the vocabulary: logits, probabilities, their order."""


class Card(Strict):
    """Cards of a size, and what an engine does on them."""

    below_gib: Gib
    """Cards that show less than this, and not less than the row before."""
    fixed_gib: Gib
    tokens: Tokens
    """Token budget, where nobody gives one."""
    sequences: Sequences
    """Most sequences of a captured graph."""
    least_gib: Gib = 0.0


class Headroom(Strict):
    """What an engine leaves beside weights and cache for all else.

    max(least_gib, fixed_gib + tokens x per_token_mib + sequences x per_sequence_mib + chips x per_chip_gib)
    """

    cards: Annotated[tuple[Card, ...], Field(min_length=1)]
    per_token_mib: Mib = 0.0
    per_sequence_mib: Mib = 0.0
    per_chip_gib: Gib = 0.0
    """For every chip of tensor and pipeline parallelism."""

    def card(self, shown_gib: float) -> Card:
        """The row of a card that shows so much memory; the last one for larger cards."""
        return next((card for card in self.cards if shown_gib < card.below_gib), self.cards[-1])
