"""Query heads fall into equal groups, one per key-value head; any group size will do.

    n_heads % n_kv_heads == 0

Source: Ainslie et al., arXiv 2305.13245. Groups of 3, 5, 6, 7 and 12 are common in published models.
"""

from typing import Any

from optimizer.scope import Relation, Scope
from optimizer.spec.values import On

Value = On
TITLE = "Whole groups of query heads"
ACCEPTS = "use true or false"
DEFAULT = True
KEEPS = {"value": True, "n_heads": 24, "n_kv_heads": 8}
BREAKS = {"value": True, "n_heads": 32, "n_kv_heads": 6}


def rule(c: Scope, value: Any) -> Relation:
    """Equal groups."""
    return c.divides(c.n_kv_heads, c.n_heads)
