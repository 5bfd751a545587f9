"""Which rows a fit does not see, and the errors on those it saw and those it did not."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from optimizer.errors import InputError
from optimizer.spec.calibration import CalibratedPart, Errors, Rows


@dataclass(frozen=True)
class HoldOut:
    """Every second row, or all rows whose `column` says `value`."""

    column: str = ""
    value: str = ""

    def __str__(self) -> str:
        return f"rows whose {self.column} is {self.value}" if self.column else "every second row"

    def of(self, numbers: Sequence[int], rows: list[dict[str, str]]) -> frozenset[int]:
        """Which of these rows, by their line in the file, the fit must not see."""
        if self.column:
            return frozenset(n for n in numbers if _same(rows[n - 2].get(self.column), self.value))
        return frozenset(sorted(set(numbers))[1::2])


def _same(cell: str | None, value: str) -> bool:
    """Whether a cell says this, as text or as a number: '8' is '8.0'."""
    text = (cell or "").strip()
    if text == value:
        return True
    try:
        return float(text) == float(value)
    except ValueError:
        return False


def hold_out(text: str | None, columns: set[str], rows: list[dict[str, str]]) -> HoldOut:
    """Read 'model=Qwen3-32B'; every second row if there is no such text.

    InputError if the column is not there, or holds no such value.
    """
    if text is None:
        return HoldOut()
    column, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not value:
        raise InputError(f"hold_out {text[:60]}: write COLUMN=VALUE, such as model=Qwen3-32B")
    if column not in columns:
        raise InputError(
            f"hold_out {text[:60]}: the file has no column '{column}'; {', '.join(sorted(columns))}"
        )
    if not any(_same(row.get(column), value) for row in rows):
        found = list(dict.fromkeys((row.get(column) or "").strip() for row in rows))
        raise InputError(f"hold_out {text[:60]}: no row says so; '{column}' is {', '.join(found[:12])}")
    return HoldOut(column, value)


def errors_of(name: str, rows: Rows, before: Sequence[float], after: Sequence[float]) -> tuple[Errors, ...]:
    """Errors of predictions, each given as predicted over measured less one; none of no rows."""
    if not before:
        return ()
    old, new = [abs(e) for e in before], [abs(e) for e in after]
    return (
        Errors(
            name=name,
            rows=rows,
            n=len(old),
            median_before=median(old),
            median_after=median(new),
            mean_before=mean(old),
            mean_after=mean(new),
        ),
    )


def worse(parts: Sequence[CalibratedPart]) -> tuple[str, ...]:
    """Names of the parts that predict the rows held out worse than before, in the mean and in the median."""
    return tuple(
        part.name
        for part in parts
        for e in part.errors
        if (e.name, e.rows) == ("all", "held out")
        and e.mean_after > e.mean_before
        and e.median_after > e.median_before
    )
