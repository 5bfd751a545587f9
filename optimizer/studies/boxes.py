"""What is left to search of a frontier: boxes of the later objectives, in whole steps.

A box is a corner: plans at most so many steps in each later objective. The best plan z of a box in the
first objective is on the frontier, and splits it: every plan of the box that z does not dominate lies at
least one step below z in some later objective, so in one of as many smaller boxes. A box inside another
is redundant. When no box is left, every plan is dominated, or equalled within a step, by a point found:
the frontier is complete. With two objectives this is the classical epsilon-constraint walk; with three
it is zone splitting.

The search region of general frontiers: Klamroth, Lacour, Vanderpooten, EJOR 245 (2015) 767-778. With the
first objective minimised exactly, corners in the others are all that is left of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

Corner = tuple[float, ...]
"""Steps in each later objective; inf: any."""
NO_FLOOR = float("-inf")


@dataclass(frozen=True, order=True)
class Box:
    """A corner, and for two objectives the floor below which another box, or nothing, takes over."""

    corner: Corner
    floor: float = NO_FLOOR

    @property
    def empty(self) -> bool:
        """Whether nothing is left above the floor."""
        return len(self.corner) == 1 and self.corner[0] <= self.floor

    def inside(self, other: "Box") -> bool:
        """Whether the other box holds all of this one."""
        return self.floor >= other.floor and _within(self.corner, other.corner)

    def split(self, steps: Corner) -> "list[Box]":
        """What is left of the box once a plan with these steps is found in it."""
        parts = [
            Box((*self.corner[:i], steps[i] - 1, *self.corner[i + 1 :]), self.floor)
            for i in range(len(steps))
        ]
        return [box for box in parts if not box.empty]


def _within(steps: Corner, corner: Corner) -> bool:
    return all(a <= b for a, b in zip(steps, corner, strict=True))


def maximal(boxes: Iterable[Box]) -> list[Box]:
    """The boxes that no other holds, in a fixed order."""
    distinct = sorted(set(boxes), reverse=True)
    kept: list[Box] = []
    for box in distinct:
        if not any(box.inside(other) for other in kept):
            kept.append(box)
    return kept


@dataclass
class Solved:
    """Boxes and the steps of their best plan, None where there is none."""

    known: list[tuple[Corner, Corner | None]] = field(default_factory=list)

    def add(self, box: Box, steps: Corner | None) -> None:
        """Remember an answer."""
        self.known.append((box.corner, steps))

    def implied(self, box: Box) -> tuple[bool, Corner | None]:
        """Whether the answer follows: a larger box has no plan, or its best plan lies in this one."""
        for corner, steps in self.known:
            if _within(box.corner, corner) and (steps is None or _within(steps, box.corner)):
                return True, steps
        return False, None
