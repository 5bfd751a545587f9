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
            return frozenset(n for n in numbers if (rows[n - 2].get(self.column) or "").strip() == self.value)
        return frozenset(sorted(set(numbers))[1::2])


def hold_out(text: str | None, columns: set[str]) -> HoldOut:
    """Read 'model=Qwen3-32B'; every second row if there is no such text."""
    if text is None:
        return HoldOut()
    column, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not value:
        raise InputError(f"--hold-out {text[:60]}: write COLUMN=VALUE, such as model=Qwen3-32B")
    if column not in columns:
        raise InputError(
            f"--hold-out {text[:60]}: the file has no column '{column}'; {', '.join(sorted(columns))}"
        )
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
