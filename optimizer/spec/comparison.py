"""Things side by side: one table, differences marked."""

from typing import Any, Literal

from optimizer.spec.base import Strict
from optimizer.spec.shown import Shown


class Compared(Strict):
    """One thing that is compared."""

    name: str
    status: str


class ComparisonRow(Strict):
    """One figure of all of them; null where a thing has none."""

    section: Literal["decided", "metric", "assumption"]
    name: str
    values: tuple[Any, ...]
    unit: str
    differs: bool


class Comparison(Shown):
    """What each decides, reaches and assumes."""

    sides: tuple[Compared, ...]
    rows: tuple[ComparisonRow, ...]
    version: str

    def headline(self) -> str:
        """What is compared, and in how much it differs."""
        differ = sum(row.differs for row in self.rows)
        return f"{' and '.join(side.name for side in self.sides)}: {differ} of {len(self.rows)} rows differ"

    def table(self) -> list[dict[str, Any]]:
        """One row a figure."""
        names = _distinct([side.name for side in self.sides])
        return [
            {"section": row.section, "name": row.name, "unit": row.unit, "differs": row.differs}
            | dict(zip(names, row.values, strict=True))
            for row in self.rows
        ]


def _distinct(names: list[str]) -> list[str]:
    """The names, with a number where several are alike."""
    return [n if names.count(n) == 1 else f"{n} {names[: i + 1].count(n)}" for i, n in enumerate(names)]
