"""The parameter count stays within the tolerance of the target.

low <= n_params <= high,  low and high = architecture.n_params x (1 -+ architecture.n_params_tolerance)
"""

from typing import Any

from optimizer.scope import Relation, Scope
from optimizer.spec.values import Band

Value = Band
TITLE = "Number of parameters"
ACCEPTS = "use [low, high] in parameters, or set architecture.n_params"
DEFAULT = None
KEEPS = {"value": [7.95e9, 8.11e9], "n_params": 8.03e9}
BREAKS = {"value": [7.95e9, 8.11e9], "n_params": 7e9}


def rule(c: Scope, value: Any) -> Relation:
    """`value` is [low, high] in parameters."""
    return c.between(value[0], c.metric("n_params"), value[1])
