"""What the answer to a training problem shows beside what every answer does."""

from optimizer.spec.answer import Answer
from optimizer.spec.training_plan import TrainingEstimate


class TrainingAnswer(Answer):
    """The best setting."""

    estimate: TrainingEstimate | None = None
