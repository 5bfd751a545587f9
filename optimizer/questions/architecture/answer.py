"""What the answer to an architecture problem shows beside what every answer does."""

from optimizer.spec.answer import Answer, Witnesses
from optimizer.spec.base import Strict
from optimizer.spec.estimate import OperatorRow
from optimizer.spec.plan import Dimensions, Plan


class Baseline(Strict):
    """The model compared with, on the plan's own chip, split and workload."""

    name: str
    dimensions: Dimensions | None
    metrics: dict[str, float]
    difference: dict[str, float]
    keeps_constraints: bool
    breaks: tuple[str, ...]


class FrameWitnesses(Witnesses):
    """A second look at what the search left out: bounds held against plans that are there."""

    frames_left_out: int
    """Frames never opened, on the word of a bound."""
    frames_priced: int
    """Of them, priced all the same."""
    all_frames: bool
    """Whether those are all; else a sample by the seed."""
    slices_enumerated: int
    """Of them and of the frames opened, slices that were not solved, enumerated all the same."""
    plans: int
    """Pairs of kinds enumerated in them."""
    seed: int


class NearTiesShown(Strict):
    """Plans that the cost model cannot tell from the optimum."""

    within: float
    """Share of the objective's optimum."""
    plans: int
    complete: bool
    """Whether these are all; else there are at least so many."""
    conventional: Plan
    """The most conventional of them (docs/studies.md)."""


class ArchitectureAnswer(Answer):
    """The best architecture and what stands beside it."""

    tile_efficiency: float | None = None
    """Share of useful arithmetic in a prefill's products after tile and wave quantisation."""
    baseline: Baseline | None = None
    operators: tuple[OperatorRow, ...] = ()
    near_ties: NearTiesShown | None = None
