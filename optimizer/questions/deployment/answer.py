"""What the answer to a deployment problem shows beside what every answer does."""

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from optimizer.spec.answer import Answer
from optimizer.spec.robustness import Robustness


class DeploymentAnswer(Answer):
    """The best pools of replicas."""

    next_better: str = ""
    """Why the next better value of the objective is out of reach."""
    percentile: float | None = None
    """Of requests that come at random, which latencies are of; None for full replicas, and for a table's."""
    robustness: Robustness | None = None
    """What the plan stands, shown where the problem asks that something may go wrong."""

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        shown = super()._in_order(handler)
        return {name: value for name, value in shown.items() if name != "robustness" or value is not None}
