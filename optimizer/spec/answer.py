"""The answer to a problem of any kind: what was reached, what is proven, what it rests on."""

from math import isfinite
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, SerializerFunctionWrapHandler, model_serializer

from optimizer.spec.band import Around
from optimizer.spec.base import Said, Strict
from optimizer.spec.plan import Deployment, Dimensions, Plan
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


class Assumption(Strict):
    """A value the answer rests on that the problem did not give."""

    name: str
    value: str
    source: str
    caveat: bool = False
    """Shown beside the headline: the answer may be far from the truth because of it."""


class Witnesses(Strict):
    """A second look at what a search left out: each kind says what it looked at."""

    plans: int
    """Plans held against what was proven: none is better."""
    seed: int


class Proof(Said):
    """Why the answer can be believed. It shows what its kind of problem has."""

    counts: dict[str, Any] = {}
    """What there was and what became of it, as the kind counts it; shown beside the other fields."""
    engine: str = ""
    engine_version: str = ""
    solves: int = 0
    """Questions put to the engines."""
    confirmed_by: tuple[str, ...] = ()
    checker: str
    deterministic_time: float = 0.0
    seed: int = 0
    witnesses: SerializeAsAny[Witnesses] | None = None
    """None where nothing was proven that could be looked at again."""
    tolerance: float = 0.0
    """The plan shown may be this share worse than the optimum: more than 0 only where a problem prefers
    another of the plans that are as good to the cost model."""

    @model_serializer(mode="wrap")
    def _as_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        shown: dict[str, Any] = handler(self)
        own = {name: value for name, value in shown.items() if name in self.model_fields_set - {"counts"}}
        return {**shown["counts"], **own}


class Answer(Solved):
    """What `solve` returns, for every kind; a kind adds what else it has.

    `wall_s` alone differs between two equal runs.
    """

    plan: Plan | None = Field(default=None, exclude=True)
    """What was found: shown by `architecture`, `deployment`, `metrics` and what the kind adds."""
    status: Status
    stopped: str = ""
    """What was left undone when the study was stopped, where it says more than the bound."""
    objective: Objective
    architecture: Dimensions | str | None = None
    deployment: Deployment | None = None
    metrics: dict[str, float] = {}
    bands: dict[str, Around] = {}
    """What metrics may turn out to be, from the errors of measured rows; absent where none are predicted."""
    binding: tuple[Binding, ...] = ()
    binding_untried: tuple[str, ...] = ()
    """Rules that there was no time to drop."""
    conflict: Conflict | None = None
    plans: tuple[Plan, ...] = ()
    """Of a list: the plans near the optimum, the best first."""
    plans_complete: bool = True
    """Whether the list of plans is all that was asked for; else it is the best of them, in order."""
    assumptions: tuple[Assumption, ...] = ()
    certificate: Proof
    wall_s: float
    version: str
    problem: dict[str, Any]

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What was found first, then what the kind adds, then what it rests on."""
        shown: dict[str, Any] = handler(self)
        shown = {name: value for name, value in shown.items() if value or name != "bands"}
        first, last = [n for n in shown if n not in _LAST], [n for n in shown if n in _LAST]
        return {name: shown[name] for name in [*first, *last]}


_LAST = (
    *("binding", "binding_untried", "conflict", "plans", "plans_complete"),
    *("assumptions", "certificate", "wall_s", "version", "problem"),
)
