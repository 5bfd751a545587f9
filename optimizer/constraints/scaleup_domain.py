"""A tensor-parallel group stays inside one scale-up domain, where its all-reduce is affordable.

tensor_parallel <= chips of the domain
"""

from typing import Any

from optimizer.scope import Relation, Scope
from optimizer.spec.values import On

Value = On
TITLE = "Tensor parallel inside the scale-up domain"
ACCEPTS = "use true or false"
DEFAULT = True
KEEPS = {"value": True, "tensor_parallel": 8, "scaleup_domain": 8}
BREAKS = {"value": True, "tensor_parallel": 16, "scaleup_domain": 8}


def rule(c: Scope, value: Any) -> Relation:
    """The group fits the domain."""
    return c.at_most(c.tensor_parallel, c.scaleup_domain)
