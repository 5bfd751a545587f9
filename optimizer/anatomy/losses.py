"""Which replicas a plan has left when its fastest are lost: the worst that a loss of so many can do."""

from collections.abc import Mapping
from typing import Any, TypeVar

K = TypeVar("K")


def any_of(lost: int) -> str:
    """So many replicas, whichever they are, in words."""
    return "any one replica" if lost == 1 else f"any {lost} replicas"


def left(counts: Mapping[K, int], rates: Mapping[K, Any], lost: int) -> dict[K, int]:
    """Replicas left of each kind when the `lost` with the highest rates are gone; no others leave less."""
    found = dict(counts)
    for kind in sorted(counts, key=lambda kind: rates[kind], reverse=True):
        gone = min(found[kind], lost)
        found[kind] -= gone
        lost -= gone
    return found
