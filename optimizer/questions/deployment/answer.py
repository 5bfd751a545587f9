"""What the answer to a deployment problem shows beside what every answer does."""

from optimizer.spec.answer import Answer


class DeploymentAnswer(Answer):
    """The best pools of replicas."""

    next_better: str = ""
    """Why the next better value of the objective is out of reach."""
