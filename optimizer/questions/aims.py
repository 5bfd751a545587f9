"""Metrics as objectives: one in its better direction, and what is said of one that a kind does not have."""

from collections.abc import Sequence

from optimizer.errors import nearest
from optimizer.metrics import sign, step_of, unit
from optimizer.spec.studies import Aim


def aim_of(metric: str, step: float | None = None) -> Aim:
    """A metric in its better direction, with its own step unless another is given."""
    way = "min" if sign(metric) > 0 else "max"
    return Aim(metric=metric, sense=way, unit=unit(metric), step=step or step_of(metric))


def not_one_of(accepted: Sequence[str], metric: str, what: str) -> str:
    """That a metric is none of those accepted, with the nearest of them."""
    hint = nearest(metric, list(accepted)) or f" Accepted: {', '.join(accepted)}."
    return f"{what}.{hint}"
