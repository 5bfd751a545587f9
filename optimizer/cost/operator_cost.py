"""What one operator costs: traffic, and the seconds each resource would need alone."""

from dataclasses import dataclass, fields

import numpy as np

from optimizer.blocks.operators import Number


def achieved(share: Number, speed: float = 1.0) -> Number:
    """Share of a peak, a bandwidth or a link that an operator reaches: never more than all of it.

    `share` is what the fastest kernels reach, `speed` what an engine's make of that. A clock above the
    datasheet's, a cache or a fit may say more than 1; a plan must not count on it.
    """
    reached = share * speed
    return min(1.0, reached) if isinstance(reached, float) else np.minimum(1.0, reached)


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
        return _longer(_longer(self.compute_s, self.memory_s), self.link_s) + self.overhead_s

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


def _longer(one: Number, other: Number) -> Number:
    """The longer of two times; most operators do not use all resources, and arrays are not compared to 0."""
    if isinstance(one, float) and one == 0.0:
        return other
    return one if isinstance(other, float) and other == 0.0 else np.maximum(one, other)
