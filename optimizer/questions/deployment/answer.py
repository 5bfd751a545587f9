"""What the answer to a deployment problem shows beside what every answer does."""

from optimizer.spec.answer import Answer


class DeploymentAnswer(Answer):
    """The best pools of replicas."""

    next_better: str = ""
    """Why the next better value of the objective is out of reach."""
    percentile: float | None = None
    """Of requests that come at random, which latencies are of; None for full replicas, and for a table's."""
