"""Integer programmes stated once, in whole numbers, for every engine; and what is known of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """low <= sum of coefficient x variable <= high, in whole numbers."""

    terms: dict[int, int]
    low: int | None = None
    high: int | None = None

    def holds(self, values: Sequence[int]) -> bool:
        """Whether the row holds, in exact arithmetic."""
        total = sum(c * values[i] for i, c in self.terms.items())
        return (self.low is None or total >= self.low) and (self.high is None or total <= self.high)


@dataclass
class Programme:
    """Bounded whole-number variables, rows, and one linear quantity to minimise."""

    lows: list[int] = field(default_factory=list)
    highs: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    objective: dict[int, int] = field(default_factory=dict)
    least: dict[int, list[tuple[dict[int, int], int]]] = field(default_factory=dict)
    """Variables that stand for the least of some sums, each with a constant."""

    def variable(self, low: int, high: int) -> int:
        """A new variable; its index."""
        self.lows.append(low)
        self.highs.append(high)
        return len(self.lows) - 1

    def row(self, terms: Mapping[int, int], low: int | None = None, high: int | None = None) -> None:
        """A new row; terms with coefficient 0 are dropped."""
        self.rows.append(Row({i: int(c) for i, c in terms.items() if c}, low, high))

    def least_of(self, sums: Sequence[tuple[Mapping[int, int], int]], low: int, high: int) -> int:
        """A new variable for the least of some sums plus constants, between bounds."""
        variable = self.variable(low, high)
        self.least[variable] = [(dict(terms), constant) for terms, constant in sums]
        for terms, constant in sums:
            self.row({variable: 1} | {i: -c for i, c in terms.items()}, high=constant)
        return variable

    def complete(self, values: Sequence[int]) -> tuple[int, ...]:
        """A proposal with the variables of `least_of` computed exactly from the others."""
        whole = list(values)
        for variable, sums in self.least.items():
            totals = [sum(c * whole[i] for i, c in terms.items()) + constant for terms, constant in sums]
            whole[variable] = min(*totals, self.highs[variable])
        return tuple(whole)

    def value(self, values: Sequence[int]) -> int:
        """The objective of a solution."""
        return sum(c * values[i] for i, c in self.objective.items())

    def floor(self) -> int:
        """No solution has an objective below this, by the limits of its variables alone."""
        return sum(c * (self.lows[i] if c > 0 else self.highs[i]) for i, c in self.objective.items())

    def holds(self, values: Sequence[int]) -> bool:
        """Whether a solution keeps every row and bound, in exact arithmetic."""
        inside = all(low <= v <= high for low, v, high in zip(self.lows, values, self.highs, strict=True))
        return inside and all(row.holds(values) for row in self.rows)


@dataclass(frozen=True)
class Proved:
    """What is known of a programme: status, the best solution, a bound, and who says so."""

    status: str
    """'optimal', 'feasible', 'infeasible' or 'unknown'."""
    values: tuple[int, ...]
    objective: int | None
    bound: int | None
    solves: int
    confirmed_by: tuple[str, ...]
