"""The answer: a result that prints as the JSON of the interface, key by key."""

from math import isfinite
from typing import Any, Literal

from pydantic import Field

from optimizer.spec.base import Strict
from optimizer.spec.shown import Solved

Status = Literal["optimal", "feasible", "infeasible", "unknown"]


class Objective(Strict):
    """What was optimised, what was reached and what was proven."""

    name: str
    sense: Literal["min", "max"]
    value: float | None
    unit: str
    bound: float | None
    gap: float | None

    @classmethod
    def of(cls, name: str, unit: str, sense: int, value: float | None, bound: float | None) -> "Objective":
        """The gap is what lies between value and bound, as a share of the value; `sense` is +1 to minimise.

        A bound that is infinite is none.
        """
        finite = bound if bound is not None and isfinite(bound) else None
        gap = abs(value - finite) / abs(value) if value and finite is not None else None
        return cls(
            name=name, sense="min" if sense > 0 else "max", value=value, unit=unit, bound=finite, gap=gap
        )


class DenseDimensions(Strict):
    """The dimensions of a dense architecture."""

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_ff: int
    vocab_size: int
    tied_embeddings: bool
    n_params: int
    n_active_params: int


class Pool(Strict):
    """Equal replicas."""

    phase: Literal["aggregated"] = "aggregated"
    chip: str
    replicas: int
    tensor_parallel: int
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    data_parallel: int = 1
    batch: int
    weight_dtype: str
    kv_dtype: str
    chips: int


class Deployment(Strict):
    """How the plan runs."""

    pools: tuple[Pool, ...]


class OperatorRow(Strict):
    """One operator of one step, summed over the layers that have it."""

    phase: Literal["decode", "prefill"]
    operator: str
    count: int
    flops: float
    bytes: float
    link_bytes: float
    time_ms: float
    bound_by: str


class Baseline(Strict):
    """The model compared with, on the plan's own chip, split and workload."""

    name: str
    dimensions: DenseDimensions | None
    metrics: dict[str, float]
    difference: dict[str, float]
    keeps_constraints: bool
    breaks: tuple[str, ...]


class Binding(Strict):
    """A constraint without which alone the optimum is better."""

    constraint: str
    bound: float | None
    """Its limit, the metric's `value` and `unit`; null for a rule that bounds no metric."""
    value: float | None
    unit: str | None
    gain: float | None
    """The optimum without it less the optimum; null where nothing else limits the objective."""


class Relaxation(Strict):
    """The nearest change of one constraint that makes the rest feasible; `to` is None if none does."""

    constraint: str
    sentence: str
    from_: Any = Field(serialization_alias="from")
    to: Any
    unit: str


TOGETHER = ", together with the other changes"
"""Ends the sentence of a relaxation that is not enough by itself."""


class Conflict(Strict):
    """A smallest set of constraints that cannot hold together, and what each would have to become."""

    constraints: tuple[str, ...]
    relaxations: tuple[Relaxation, ...]


class Witnesses(Strict):
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


class Certificate(Strict):
    """Why the answer can be believed."""

    lattice_points: int
    frames: int
    frames_solved: int
    slices: int
    slices_solved: int
    columns: int
    engine: str
    engine_version: str
    solves: int
    band: int
    confirmed_by: tuple[str, ...]
    checker: str
    deterministic_time: float
    seed: int
    witnesses: Witnesses | None = None
    tolerance: float = 0.0
    """The plan shown may be this share worse than the optimum: more than 0 only where a problem prefers
    another of the plans that are as good to the cost model."""


class Assumption(Strict):
    """A value the answer rests on that the problem did not give."""

    name: str
    value: str
    source: str
    caveat: bool = False
    """Shown beside the headline: the answer may be far from the truth because of it."""


class Plan(Strict):
    """One architecture and its deployment, with every metric."""

    architecture: DenseDimensions
    deployment: Deployment
    metrics: dict[str, float]


class NearTies(Strict):
    """Plans that the cost model cannot tell from the optimum."""

    within: float
    """Share of the objective's optimum."""
    plans: int
    complete: bool
    """Whether these are all; else there are at least so many."""
    conventional: Plan
    """The most conventional of them (docs/studies.md)."""


class Derivation(Strict):
    """One operator's time: formulas, the same with numbers, results, and where the constants come from."""

    operator: str
    phase: str
    formulas: dict[str, str]
    numbers: dict[str, str]
    values: dict[str, float]
    terms_us: dict[str, float]
    bound_by: str
    sources: dict[str, str]


class SecondTierUse(Strict):
    """What one chip keeps in its slower memory, and what streaming it takes."""

    kind: str
    slow_share: dict[str, float]
    memory_gib: float
    capacity_gib: float
    streamed_ms_per_step: float
    """Of a decode step; the step lasts at least this long."""
    hiding_tokens: float
    """Tokens in a step from which arithmetic takes as long as streaming all weights."""


class Estimate(Strict):
    """What the cost model says of one model on one replica."""

    status: Literal["feasible", "infeasible"]
    model: str
    breaks: tuple[str, ...]
    """Rules the deployment breaks; then there are no times."""
    why: dict[str, str] = {}
    """In words, for degrees of parallelism that the model cannot have."""
    deployment: Deployment
    metrics: dict[str, float]
    served: dict[str, float] = {}
    """What clients in a closed loop see, if their number was given."""
    memory_gib: dict[str, float]
    hbm_usable_gib: float
    second_tier: SecondTierUse | None = None
    operators: tuple[OperatorRow, ...]
    assumptions: tuple[Assumption, ...]
    version: str


class ValidationGroup(Strict):
    """Errors of one group of points; ratios are predicted over measured."""

    group: str
    value: str
    n: int
    median_ratio: float
    mean_abs_error: float
    median_abs_error: float
    within_25_percent: float


class Validation(Strict):
    """Predicted against measured for a file of points."""

    file: str
    rows: int
    """Rows of the file."""
    rows_read: int
    """The first of them, all that were looked at: fewer than `rows` if it was interrupted."""
    scored: int
    groups: tuple[ValidationGroup, ...]
    unscored: dict[str, int]
    """Reason to number of rows."""

    @property
    def complete(self) -> bool:
        """Whether every row was looked at."""
        return self.rows_read == self.rows


class Result(Solved):
    """What a study returns; `wall_s` is the only field that differs between two equal runs."""

    status: Status
    objective: Objective
    architecture: DenseDimensions | None = None
    deployment: Deployment | None = None
    metrics: dict[str, float] = {}
    tile_efficiency: float | None = None
    baseline: Baseline | None = None
    operators: tuple[OperatorRow, ...] = ()
    binding: tuple[Binding, ...] = ()
    binding_untried: tuple[str, ...] = ()
    """Rules that there was no time to drop."""
    near_ties: NearTies | None = None
    conflict: Conflict | None = None
    plans: tuple[Plan, ...] = ()
    plans_complete: bool = True
    """Whether the list of plans is all that was asked for; else it is the best of them, in order."""
    assumptions: tuple[Assumption, ...] = ()
    certificate: Certificate
    wall_s: float
    version: str
    problem: dict[str, Any]
