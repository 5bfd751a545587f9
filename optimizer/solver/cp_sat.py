"""CP-SAT models, built on the compiled half of OR-Tools.

`ortools.sat.python.cp_model` imports pandas for methods that are not used here, which takes longer than the
solves of most studies. What it builds, it builds through `cp_model_helper`, and so does this module; a test
holds the two to the same model, letter for letter, and the version of OR-Tools is pinned.

OR-Tools is imported late: it is not needed until a model is built.
"""

from collections.abc import Sequence
from typing import Any


def helper() -> Any:
    """OR-Tools' compiled module of CP-SAT."""
    from ortools.sat.python import cp_model_helper

    return cp_model_helper


def domain(low: int, high: int) -> Any:
    """The integers from `low` to `high`."""
    return _domains()(low, high)


def domain_of(intervals: Sequence[Sequence[int]]) -> Any:
    """The integers in any of the closed intervals."""
    return _domains().from_intervals([list(interval) for interval in intervals])


def weighted_sum(variables: Sequence[Any], coefficients: Sequence[int]) -> Any:
    """The linear expression of variables times whole coefficients."""
    return helper().LinearExpr.weighted_sum(variables, coefficients)


class CpModel:
    """A CP-SAT model. Names and meaning of the methods are those of OR-Tools' class."""

    def __init__(self) -> None:
        self._helper = helper()
        self._base = self._helper.CpBaseModel(None)

    @property
    def proto(self) -> Any:
        """What CP-SAT solves."""
        return self._base.model_proto

    def has_objective(self) -> bool:
        """Whether something is minimised or maximised."""
        return bool(self.proto.has_objective())

    def new_int_var(self, low: int, high: int, name: str) -> Any:
        """An integer variable from `low` to `high`."""
        return self._helper.IntVar(self.proto).with_name(name).with_domain(domain(low, high))

    def new_bool_var(self, name: str) -> Any:
        """A variable that is 0 or 1."""
        return self.new_int_var(0, 1, name)

    def add(self, row: Any) -> Any:
        """Add a comparison of linear expressions; its constraint, which may be enforced by literals."""
        return self._base._add_bounded_linear_expression(row)  # noqa: SLF001 - no public name in ortools

    def add_linear_expression_in_domain(self, expression: Any, allowed: Any) -> Any:
        """Keep a linear expression of whole coefficients in a domain."""
        return self.add(self._helper.BoundedLinearExpression(expression, allowed))

    def add_linear_constraint(self, expression: Any, low: int, high: int) -> Any:
        """Keep a linear expression from `low` to `high`."""
        return self.add_linear_expression_in_domain(expression, domain(low, high))

    def add_bool_or(self, literals: Sequence[Any]) -> Any:
        """At least one of the literals holds; of none, a contradiction."""
        return self._booleans("bool_or", literals)

    def add_exactly_one(self, literals: Sequence[Any]) -> Any:
        """One of the literals holds and the others do not."""
        return self._booleans("exactly_one", literals)

    def _booleans(self, kind: str, literals: Sequence[Any]) -> Any:
        rule = getattr(self._helper.BoolArgumentConstraint, kind)
        return self._base._add_bool_argument_constraint(rule, *literals)  # noqa: SLF001 - as above

    def minimize(self, expression: Any) -> None:
        """Make the least value of an expression the goal."""
        self._aim(expression, 1)

    def maximize(self, expression: Any) -> None:
        """Make the greatest value of an expression the goal."""
        self._aim(expression, -1)

    def _aim(self, expression: Any, sense: int) -> None:
        """CP-SAT minimises sense x expression; the scaling factor turns its values back."""
        flat = self._helper.FlatIntExpr(expression)
        self.proto.clear_objective()
        goal = self.proto.objective
        goal.scaling_factor = float(sense)
        goal.offset = float(sense * flat.offset)
        goal.vars.extend([variable.index for variable in flat.vars])
        goal.coeffs.extend([sense * coefficient for coefficient in flat.coeffs])


def _domains() -> Any:
    from ortools.util.python.sorted_interval_list import Domain

    return Domain
