"""Answers of studies that solve a problem many times: frontier, perturbation, sweep, explanation."""

from typing import Any, Literal

from pydantic import Field

from optimizer.spec.base import Strict
from optimizer.spec.deployment_plan import DeploymentPlan
from optimizer.spec.plan import Conflict, Plan, Relaxation

AnyPlan = Plan | DeploymentPlan
"""A plan of a problem of any kind; each has metrics."""


class Aim(Strict):
    """One metric of a study: its direction, and the step it is resolved to."""

    metric: str
    sense: Literal["min", "max"]
    unit: str = ""
    step: float = Field(gt=0)

    @property
    def sign(self) -> int:
        """+1 to minimise, -1 to maximise."""
        return 1 if self.sense == "min" else -1


class Answer(Strict):
    """One re-solve: the proven optimum, or the proof that there is none (`plan` is None)."""

    plan: AnyPlan | None
    unlimited: bool = False
    """Nothing limits the first aim, so that no plan is the best."""
    slices: int
    """Slices priced."""
    solves: int
    """Questions put to CP-SAT, each answered twice."""
    enumerated: int
    """Plans enumerated in numpy to confirm CP-SAT."""


class Work(Strict):
    """What a study did, summed over its re-solves."""

    asked: int = 0
    """Re-solves."""
    slices: int = 0
    solves: int = 0
    enumerated: int = 0

    def plus(self, answer: Answer) -> "Work":
        """One more answer."""
        return Work(
            asked=self.asked + 1,
            slices=self.slices + answer.slices,
            solves=self.solves + answer.solves,
            enumerated=self.enumerated + answer.enumerated,
        )


class Gap(Strict):
    """A part of a frontier not searched yet: plans within these bounds may still join it."""

    bounds: dict[str, float]
    """Metric to the worst value looked for; no entry: any value."""
    beyond: dict[str, float] = {}
    """Metric to the value from which the frontier is known again."""


class Placed(Strict):
    """A model set beside a frontier, on the same chip, split, formats and traffic as the nearest point."""

    name: str
    metrics: dict[str, float]
    verdict: Literal["dominated", "on the frontier", "outside", "undecided"]
    point: int | None
    """Row of the point that dominates it, or equals it."""
    difference: dict[str, float]
    """That point's objectives less its own."""
    breaks: tuple[str, ...]
    """Rules of the problem that it breaks; then it is no point of the lattice."""


FrontierStatus = Literal["complete", "partial", "infeasible", "unknown"]


class Frontier(Strict):
    """The Pareto set of a problem in two or three metrics."""

    status: FrontierStatus
    objectives: tuple[Aim, ...]
    """The first is exact; plans closer than one step in a later one are counted as one."""
    points: tuple[AnyPlan, ...]
    gaps: tuple[Gap, ...]
    placed: tuple[Placed, ...]
    conflict: Conflict | None
    notes: tuple[str, ...]
    work: Work
    confirmed_by: tuple[str, ...]
    lattice_points: int
    version: str
    problem: dict[str, Any]


class Change(Strict):
    """One thing changed, and what the proven optimum becomes."""

    kind: Literal["constraint", "dimension", "constant"]
    name: str
    move: str
    """In words: '+1 %', 'dropped', '= 68'."""
    from_: Any = Field(serialization_alias="from")
    to: Any
    objective: float | None
    """The new optimum; None if no plan is left, or if nothing limits it once a constraint is dropped."""
    difference: float | None
    """New optimum less the old one."""
    price: float | None
    """Difference per unit of the bound; None where it has no unit."""
    metrics: dict[str, float]
    """Every metric of the new optimum less the old one's."""
    plan: dict[str, tuple[Any, Any]]
    """What changes in the plan: dimension to (old, new)."""
    alone: dict[str, float] | None = None
    """Metrics less the old ones with this changed and all else kept; None where that is no plan."""
    alone_breaks: tuple[str, ...] = ()


class Bearing(Strict):
    """Whether a constraint binds: whether a better plan exists without it."""

    constraint: str
    value: Any
    binds: bool | None
    """None: it cannot be switched off."""
    gain: float | None
    """Optimum without it less the optimum with it, 0 unless that is better; None where it cannot be switched
    off, or where nothing else limits the objective."""


class Critical(Strict):
    """How far a constant may be wrong before the plan changes."""

    name: str
    direction: Literal["up", "down"]
    same_until: float
    """Largest relative change tried at which the plan is the same."""
    changes_at: float | None
    """Smallest relative change tried at which it is another; None: none up to the limit."""
    plan: dict[str, tuple[Any, Any]]


class Perturbation(Strict):
    """What each constraint, dimension and constant costs."""

    status: Literal["complete", "partial", "infeasible", "unknown"]
    objective: Aim
    value: float | None
    plan: AnyPlan | None
    bearings: tuple[Bearing, ...]
    changes: tuple[Change, ...]
    critical: tuple[Critical, ...]
    conflict: Conflict | None
    work: Work
    confirmed_by: tuple[str, ...] = ()
    version: str
    problem: dict[str, Any]


class Explanation(Strict):
    """Why nothing is feasible: every smallest reason, and every single change that would do."""

    status: Literal["infeasible", "feasible", "unknown"]
    conflicts: tuple[tuple[str, ...], ...]
    """Each set conflicts, and no part of it does."""
    complete: bool
    """Whether these are all the minimal conflicts there are."""
    relaxations: tuple[Relaxation, ...]
    witness: AnyPlan | None
    """A plan, where there is one after all."""
    work: Work
    version: str
    problem: dict[str, Any]


class SweepRow(Strict):
    """One problem of a sweep and its answer."""

    at: dict[str, Any]
    status: Literal["optimal", "infeasible", "invalid"]
    plan: Plan | None
    reason: str = ""


class Sweep(Strict):
    """The cross product of problems, each solved to its optimum."""

    status: Literal["complete", "partial"]
    objective: Aim
    over: dict[str, tuple[Any, ...]]
    rows: tuple[SweepRow, ...]
    work: Work
    version: str
    problem: dict[str, Any]
