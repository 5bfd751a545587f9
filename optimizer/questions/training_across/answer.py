"""What the answer to a question of training over clusters shows beside what every answer does."""

from optimizer.spec.answer import Answer
from optimizer.spec.plan import Pool
from optimizer.spec.training import TrainingSetup


class AcrossAnswer(Answer):
    """The best plan."""

    stages: tuple[Pool, ...] = ()
    """In the order a microbatch passes them."""
    setups: tuple[TrainingSetup, ...] = ()
    """Of each cluster in use, in that order: how `estimate` would be asked of it."""
    step_ms: dict[str, float] = {}
    """The step by part; computing and messages of layers are those of the slowest stage."""
    used: dict[str, int] = {}
    """Chips of each kind."""
    waiting: dict[str, float] = {}
    """Share of the step in which chips of each kind wait for stages of others, on average."""
    unmodelled: tuple[str, ...] = ()
    """What of a run the figures leave out."""
    alone: dict[str, float | None] = {}
    """The optimum on each cluster by itself; None where it has none."""
