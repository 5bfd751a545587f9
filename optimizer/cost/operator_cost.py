"""What one operator costs: traffic, and the seconds each resource would need alone."""

from dataclasses import dataclass, fields

import numpy as np

from optimizer.blocks.operators import Number


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operator moves, and the seconds each resource would need for it alone."""

    flops: Number
    bytes: Number
    link_bytes: Number
    compute_s: Number
    memory_s: Number
    link_s: Number
    overhead_s: Number

    def times(self, share: Number) -> "Cost":
        """The cost where only a share of it is there."""
        return Cost(*(getattr(self, field.name) * share for field in fields(self)))

    @property
    def seconds(self) -> Number:
        """The longest resource, then the fixed overhead."""
        return np.maximum(np.maximum(self.compute_s, self.memory_s), self.link_s) + self.overhead_s

    @property
    def bound_by(self) -> str:
        """The longest of the four terms of a single operator."""
        terms = {
            "compute": self.compute_s,
            "memory": self.memory_s,
            "link": self.link_s,
            "overhead": self.overhead_s,
        }
        return max(terms, key=lambda name: float(terms[name]))
