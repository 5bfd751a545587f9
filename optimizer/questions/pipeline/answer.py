"""What the answer to a pipeline problem shows beside what every answer does."""

from optimizer.spec.answer import Answer
from optimizer.spec.plan import Pool


class PipelineAnswer(Answer):
    """The best split of the layers over the stages."""

    stages: tuple[Pool, ...] = ()
    """In the order a token passes them."""
    batch: int | None = None
    """Sequences in one stage at a time."""
    equal_split: dict[str, float] = {}
    """The same stages with equal numbers of layers, for comparison; empty if that does not fit."""
