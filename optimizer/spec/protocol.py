"""How a benchmark asks: clients in a closed loop, what each sends, and how unlike its requests are."""

from dataclasses import dataclass

PER_CLIENT = 10.0
RANGE_RATIO = 0.8


@dataclass(frozen=True)
class Protocol:
    """A closed loop: each client sends its next request when its last is answered, until all are sent.

    The defaults are those of InferenceMAX (SemiAnalysisAI/InferenceX: ten prompts a client, lengths drawn
    evenly from 0.8 to 1 of what is asked for).
    """

    clients: int
    per_client: float = PER_CLIENT
    """Requests over clients: the first of each come together."""
    range_ratio: float = RANGE_RATIO
    """Lengths are drawn evenly from this share of the nominal to all of it; all alike, at 1, stay in step."""

    stream_interval: int = 1
    """Tokens that the server sends together: the first is seen with so many."""

    def mean(self, tokens: int) -> int:
        """Mean of lengths whose nominal is so many tokens."""
        return max(1, round(tokens * (1 + self.range_ratio) / 2))
