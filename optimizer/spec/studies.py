"""Answers of studies that solve a problem many times: frontier, perturbation, sweep, explanation."""

from typing import Any, Literal

from pydantic import Field

from optimizer.spec.answer import Assumption, Conflict, Relaxation
from optimizer.spec.band import Around
from optimizer.spec.base import Strict
from optimizer.spec.plan import Plan
from optimizer.spec.shown import Shown, decided_by, plan_row


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


class Optimum(Strict):
    """One re-solve: the proven optimum, or the proof that there is none (`plan` is None)."""

    plan: Plan | None
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

    def plus(self, answer: Optimum) -> "Work":
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
    unlike: tuple[str, ...] = ()
    """What it has that no point of the lattice has."""


FrontierStatus = Literal["complete", "partial", "infeasible", "unknown"]


class Frontier(Shown):
    """The Pareto set of a problem in two or three metrics."""

    status: FrontierStatus
    objectives: tuple[Aim, ...]
    """The first is exact; plans closer than one step in a later one are counted as one."""
    points: tuple[Plan, ...]
    bands: tuple[dict[str, Around], ...] = ()
    """What metrics of each point may turn out to be, from the errors of measured rows."""
    gaps: tuple[Gap, ...]
    placed: tuple[Placed, ...]
    conflict: Conflict | None
    notes: tuple[str, ...]
    work: Work
    confirmed_by: tuple[str, ...]
    lattice_points: int
    stopped: str = ""
    """What there was no time to prepare when the study was stopped."""
    at_hand: Plan | None = None
    """Of a study that was stopped before any point: the best plan met, not proven to be on the frontier."""
    assumptions: tuple[Assumption, ...] = ()
    """What nobody measured of the chips of its plans, and prices that decide."""
    version: str
    problem: dict[str, Any]

    def headline(self) -> str:
        """How it ended, and what it found."""
        names = " and ".join(aim.metric for aim in self.objectives)
        return f"{self.problem.get('name', '')}: {self.status}, {len(self.points)} points of {names}"

    def table(self) -> list[dict[str, Any]]:
        """One row a point; after its figures the ends of its objectives, where these have a band."""
        bands = self.bands or ({},) * len(self.points)
        return [plan_row(plan) | self._ends(own) for plan, own in zip(self.points, bands, strict=True)]

    def _ends(self, bands: dict[str, Around]) -> dict[str, Any]:
        own = {aim.metric: bands[aim.metric] for aim in self.objectives if aim.metric in bands}
        return {f"{name}_{end}": getattr(band, end) for name, band in own.items() for end in ("low", "high")}


class Change(Strict):
    """One thing changed, and what the proven optimum becomes."""

    kind: Literal["constraint", "dimension", "constant", "band"]
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
    """Metrics less the old ones with a dimension or a constant changed and all else kept; None where that
    is no plan. Of a constant it is the slope, and the rest of the difference the step to another plan."""
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


class Perturbation(Shown):
    """What each constraint, dimension and constant costs."""

    status: Literal["complete", "partial", "infeasible", "unknown"]
    objective: Aim
    value: float | None
    plan: Plan | None
    bearings: tuple[Bearing, ...]
    changes: tuple[Change, ...]
    critical: tuple[Critical, ...]
    conflict: Conflict | None
    work: Work
    confirmed_by: tuple[str, ...] = ()
    stopped: str = ""
    """What there was no time to prepare when the study was stopped."""
    at_hand: Plan | None = None
    """Of a study that was stopped before its first optimum: the best plan met, not proven best."""
    assumptions: tuple[Assumption, ...] = ()
    """What nobody measured of the chips of its plans, and prices that decide."""
    version: str
    problem: dict[str, Any]

    def headline(self) -> str:
        """How it ended, and what it found."""
        what = f"{len(self.changes)} changes of {self.objective.metric}"
        return f"{self.problem.get('name', '')}: {self.status}, {what}"

    def table(self) -> list[dict[str, Any]]:
        """One row a change."""
        return [
            {name: getattr(change, name) for name in ("kind", "name", "move", "objective", "difference")}
            for change in self.changes
        ]


class Explanation(Shown):
    """Why nothing is feasible: every smallest reason, and every single change that would do."""

    status: Literal["infeasible", "feasible", "unknown"]
    conflicts: tuple[tuple[str, ...], ...]
    """Each set conflicts, and no part of it does."""
    complete: bool
    """Whether these are all the minimal conflicts there are."""
    relaxations: tuple[Relaxation, ...]
    witness: Plan | None
    """A plan, where there is one after all."""
    stopped: str = ""
    """What there was no time to prepare when the study was stopped."""
    work: Work
    version: str
    problem: dict[str, Any]

    def headline(self) -> str:
        """How it ended, and what it found."""
        return f"{self.problem.get('name', '')}: {self.status}, {len(self.conflicts)} conflicts"

    def table(self) -> list[dict[str, Any]]:
        """One row a change that would do."""
        return [
            {"constraint": r.constraint, "change": r.sentence, "from": str(r.from_), "to": str(r.to)}
            for r in self.relaxations
        ]


class SweepRow(Strict):
    """One problem of a sweep and its answer."""

    at: dict[str, Any]
    status: Literal["optimal", "infeasible", "invalid"]
    plan: Plan | None
    reason: str = ""


class Sweep(Shown):
    """The cross product of problems, each solved to its optimum."""

    status: Literal["complete", "partial"]
    objective: Aim
    over: dict[str, tuple[Any, ...]]
    rows: tuple[SweepRow, ...]
    work: Work
    confirmed_by: tuple[str, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    """What nobody measured of the chips of its plans, and prices that decide."""
    version: str
    problem: dict[str, Any]

    def headline(self) -> str:
        """How it ended, and what it found."""
        return f"{self.problem.get('name', '')}: {self.status}, {len(self.rows)} problems"

    def table(self) -> list[dict[str, Any]]:
        """One row a problem: the fields swept, the status, the plan, its metrics, the reason."""
        metrics = sorted({name for row in self.rows if row.plan for name in row.plan.metrics})
        return [_swept(self, row, metrics) for row in self.rows]


def _decided(found: Sweep) -> list[str]:
    """What any plan of a sweep decides."""
    return list(dict.fromkeys(name for row in found.rows if row.plan for name in decided_by(row.plan)))


def _swept(found: Sweep, row: SweepRow, metrics: list[str]) -> dict[str, Any]:
    cells: dict[str, Any] = {name: _cell(row.at[name]) for name in found.over}
    cells["status"] = row.status
    plan = row.plan
    for name in _decided(found):
        cells[f"plan.{name}"] = decided_by(plan).get(name) if plan else None
    cells |= {name: plan.metrics.get(name) if plan else None for name in metrics}
    cells["reason"] = row.reason
    return cells


def _cell(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool) or value is None else str(value)
