"""Key-value heads stay where sharing them is known to cost no quality.

    n_kv_heads >= 8  or  n_heads / n_kv_heads <= g        (g = 8 unless the problem says otherwise)

The loss proxy cannot see the number of key-value heads, so without this rule every speed objective would
choose one. Source: Ainslie et al., arXiv 2305.13245 (GQA-8 keeps the quality of multi-head attention,
multi-query loses 0.5-1 %); 51 of 56 published dense models keep it.
"""

from typing import Any

from pydantic import PositiveInt

from optimizer.scope import Relation, Scope

Value = PositiveInt
TITLE = "Query heads per key-value head"
ACCEPTS = "use the largest group of query heads per key-value head, or false"
DEFAULT = 8
LATTICE_ONLY = True  # a published model is not held to it
KEEPS = {"value": 8, "n_heads": 128, "n_kv_heads": 8}
BREAKS = {"value": 8, "n_heads": 32, "n_kv_heads": 1}


def rule(c: Scope, value: Any) -> Relation:
    """`value` is the largest group below eight key-value heads."""
    return c.any_of(c.at_least(c.n_kv_heads, 8), c.at_most(c.n_heads, value * c.n_kv_heads))


def weaker(value: Any) -> list[Any]:
    """Larger groups."""
    return [group for group in (12, 16, 32, 64, 128) if group > float(value)]
