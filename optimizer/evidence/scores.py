"""Errors of predictions against measurements, over all points and by group."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import mean, median
from typing import Any, Protocol

from optimizer.spec.validation import Validation, ValidationGroup

_NEAR = 0.25


class Scored(Protocol):
    """A measured point with its prediction."""

    @property
    def point(self) -> Any:
        """The point; its fields name the groups it is in."""

    @property
    def error(self) -> float:
        """Relative error; positive if the prediction is too high."""


def validation(
    file: str,
    scored: Sequence[Scored],
    groups: Sequence[str],
    skipped: Counter[str],
    rows: int,
    rows_read: int,
) -> Validation:
    """Errors of all points, then by each value of each field in `groups`; what was skipped, with reasons.

    `rows_read` of the file's `rows` were looked at, the first ones.
    """
    found = [_group("all", "all", scored)] if scored else []
    for name in groups:
        by_value: dict[str, list[Scored]] = defaultdict(list)
        for item in scored:
            by_value[_value(item.point, name)].append(item)
        found += [_group(name, value, items) for value, items in sorted(by_value.items())]
    return Validation(
        file=file,
        rows=rows,
        rows_read=rows_read,
        scored=len(scored),
        groups=tuple(found),
        unscored=dict(skipped.most_common()),
        assumed=dict(Counter(w for item in scored for w in getattr(item.point, "assumed", ())).most_common()),
    )


def _value(point: Any, group: str) -> str:
    value = getattr(point, group)
    return value if isinstance(value, str) else str(value.name)


def _group(name: str, value: str, items: Sequence[Scored]) -> ValidationGroup:
    errors = [item.error for item in items]
    return ValidationGroup(
        group=name,
        value=value,
        n=len(items),
        median_ratio=1 + median(errors),
        mean_abs_error=mean(abs(e) for e in errors),
        median_abs_error=median(abs(e) for e in errors),
        within_25_percent=sum(abs(e) <= _NEAR for e in errors) / len(errors),
    )
