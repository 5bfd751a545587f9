"""The CP-SAT model of one slice: which attention kind, which feed-forward kind, under named rows.

One boolean per kind, exactly one of each; every constraint's rows carry that constraint's own literal,
added here and not by the author of the constraint. Quantities are integers: each term is floored to a
unit (a power of ten with at least a million steps), so that

    q_int x unit <= q < (q_int + TERMS) x unit

and rows and cut-offs are relaxed by as much: no plan is lost, and what a row lets through in error the
float check rejects.
"""

from dataclasses import dataclass, field, replace
from math import ceil, floor, isfinite, log10
from typing import Any

import numpy as np

from optimizer.cost.frame import Slice
from optimizer.questions.architecture.frame_rules import pick
from optimizer.questions.architecture.table import FrameTable
from optimizer.questions.architecture.window import intervals
from optimizer.scope import AllOf, AnyOf, Bound, Relation, Symbol, conjuncts
from optimizer.solver.cp_sat import CpModel, domain, domain_of, weighted_sum
from optimizer.solver.cp_sat_twice import Solve, SolveSettings, prove
from optimizer.watch import Watch

TERMS = 3
_STEPS = 10**7


@dataclass
class SliceModel:
    """Build once, then edit the cut-off and forbid candidates between solves."""

    table: FrameTable
    depth_row: int
    """Row of the depth in the space's list, for masks on several axes."""
    n_layers: int
    attention: np.ndarray
    """Rows of the table's attention kinds that take part."""
    ffn: np.ndarray
    model: Any = None
    literals: dict[str, Any] = field(default_factory=dict)
    _sums: dict[str, tuple[Any, float, int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = CpModel()
        self._a = [self.model.new_bool_var(f"attention{i}") for i in self.attention]
        self._f = [self.model.new_bool_var(f"ffn{i}") for i in self.ffn]
        self.model.add_exactly_one(self._a)
        self.model.add_exactly_one(self._f)

    @property
    def at(self) -> Slice:
        """The slice of the model."""
        return self.table.at(self.n_layers)

    def add_rules(self) -> None:
        """Post the rules the kinds have not been filtered by: pairs, bounds and alternatives."""
        rules = self.table.rules
        for name, mask in rules.pairs:
            part = pick(mask, self.depth_row, rules.attention[self.attention], rules.ffn[self.ffn])
            self.post(name, part)
        for name, bound in rules.bounds:
            self.post(name, bound)
        for name, choice in rules.choices:
            self.post(name, self._here(choice))

    def _here(self, relation: Relation) -> Relation:
        """The relation with its masks of the whole lattice cut to this depth and these kinds."""
        if isinstance(relation, np.ndarray):
            rules = self.table.rules
            return pick(relation, self.depth_row, rules.attention[self.attention], rules.ffn[self.ffn])
        if isinstance(relation, AllOf | AnyOf):
            return type(relation)(tuple(self._here(part) for part in relation.parts))
        return relation

    def post(self, name: str, relation: Relation) -> None:
        """Post a relation under the literal of its constraint."""
        if name not in self.literals:
            self.literals[name] = self.model.new_bool_var(f"enforce {name}")
            self.model.add(self.literals[name] == 1)
        for part in conjuncts(relation):
            self._post(part, self.literals[name])

    def _post(self, part: Relation, literal: Any) -> None:
        if isinstance(part, Bound):
            expression, unit, low, high = self.sum(part.symbol.quantity)
            allowed = self._domain(part, unit, low, high)
            self.model.add_linear_expression_in_domain(expression, allowed).only_enforce_if(literal)
        elif isinstance(part, AnyOf):
            chosen = []
            for option in part.parts:
                pick_this = self.model.new_bool_var("")
                for inner in conjuncts(option):
                    self._post(inner, pick_this)
                chosen.append(pick_this)
            self.model.add_bool_or(chosen).only_enforce_if(literal)
        elif isinstance(part, np.ndarray):
            _post_mask(self.model, self._a, self._f, part, literal)

    def sum(self, quantity: str) -> tuple[Any, float, int, int]:
        """(linear expression, unit, least value, largest value) of an additive quantity."""
        if quantity not in self._sums:
            column = self.table.columns[quantity]
            layers = float(self.n_layers)
            a, f = layers * column.attention[self.attention], layers * column.ffn[self.ffn]
            top = abs(column.base) + np.abs(a).max() + np.abs(f).max()
            unit = 10.0 ** ceil(log10(max(top, 1e-300) / _STEPS))
            base = floor(column.base / unit)
            a_int = np.floor(a / unit).astype(np.int64)
            f_int = np.floor(f / unit).astype(np.int64)
            attention, ffn = weighted_sum(self._a, a_int.tolist()), weighted_sum(self._f, f_int.tolist())
            expression = attention + ffn + base
            low = base + int(a_int.min() + f_int.min())
            high = base + int(a_int.max() + f_int.max())
            self._sums[quantity] = (expression, unit, low, high)
        return self._sums[quantity]

    def _domain(self, bound: Bound, unit: float, low: int, high: int) -> Any:
        found = intervals(bound, self.at, low * unit, (high + TERMS) * unit)
        whole = [[ceil(a / unit - 1e-9) - TERMS, floor(b / unit + 1e-9)] for a, b in found]
        return domain_of(whole)

    def minimise(self, objective: Symbol, sense: int) -> None:
        """Set the objective: the quantity behind the metric, in the direction that improves it."""
        expression, unit, low, high = self.sum(objective.quantity)
        rises = objective.rises
        if rises is None:
            ends = objective.value(self.at, np.array([low * unit, high * unit]))
            rises = bool(ends[0] <= ends[1])
        self._objective = (objective, sense)
        self._value = self.model.new_int_var(low, high, "objective")
        self.model.add(self._value == expression)
        if rises == (sense > 0):
            self.model.minimize(self._value)
        else:
            self.model.maximize(self._value)

    def cut_off(self, key: float) -> bool:
        """Keep only plans whose sense x objective may lie at or below `key`; False if none can."""
        if not isfinite(key):
            return True
        objective, sense = self._objective
        limit = (-np.inf, key) if sense > 0 else (-key, np.inf)
        _, unit, low, high = self.sum(objective.quantity)
        allowed = self._domain(Bound(objective, *limit), unit, low, high)
        allowed = allowed.intersection_with(domain(low, high))
        if allowed.is_empty():
            return False
        kept = self.model.proto.variables[self._value.index].domain
        kept.clear()
        kept.extend(allowed.flattened_intervals())
        return True

    def forbid(self, attention: int, ffn: int) -> None:
        """Exclude one candidate (positions in `attention` and `ffn`) from later solves."""
        self.model.add_bool_or([~self._a[attention], ~self._f[ffn]])

    def solve(self, settings: SolveSettings, watch: Watch) -> tuple[Solve, tuple[int, int] | None]:
        """Solve with and without presolve; return the answer and the chosen kinds' positions.

        An answer on which the two solves, or a third, do not agree has the status 'unknown'.
        """
        answer, agreed = prove(self.model, settings, watch)
        if not agreed:
            return replace(answer, status="unknown"), None
        if not answer.values:
            return answer, None
        chosen_a = next(i for i, v in enumerate(self._a) if answer.values[v.index])
        chosen_f = next(i for i, v in enumerate(self._f) if answer.values[v.index])
        return answer, (chosen_a, chosen_f)


def _post_mask(model: Any, attention: list[Any], ffn: list[Any], mask: np.ndarray, literal: Any) -> None:
    """Forbid the kinds, or pairs of kinds, that a mask of shape (A or 1, F or 1) leaves out."""
    mask = mask.reshape(mask.shape[-2:]) if mask.ndim > 2 else np.atleast_2d(mask)
    bad = ~mask
    if not bad.any():
        return
    if mask.shape == (1, 1):
        model.add_bool_or([]).only_enforce_if(literal)
    elif mask.shape[1] == 1:
        for i in np.flatnonzero(bad[:, 0]):
            model.add(attention[i] == 0).only_enforce_if(literal)
    elif mask.shape[0] == 1:
        for j in np.flatnonzero(bad[0]):
            model.add(ffn[j] == 0).only_enforce_if(literal)
    else:
        for i in np.flatnonzero(bad.any(axis=1)):
            row = [ffn[j] for j in np.flatnonzero(bad[i])]
            model.add(sum(row) == 0).only_enforce_if(literal, attention[i])
