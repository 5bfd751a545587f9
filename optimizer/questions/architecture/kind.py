"""Which architecture? One model, free or published, on one replica of one chip."""

from typing import Any

KEYS: tuple[str, ...] = ()
"""No key marks such a file: a file of no other kind is one."""
PROBLEM = "problem:Problem"
QUESTION = "question:ArchitectureQuestion"


def claims(data: dict[str, Any]) -> bool:
    """A free architecture is of this kind, whatever else the file has."""
    return isinstance(data.get("architecture"), dict)
