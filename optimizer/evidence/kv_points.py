"""Measured caches: how many tokens an engine said that its cache holds, and whether requests of a length fit.

A CSV with the columns model, chip, engine, version, tp, weight_dtype, kv_dtype, memory_share, cache_share,
step_tokens, max_sequences, max_model_len, kv_cache_tokens, fits, part, source, said; an empty cell is the
engine's own figure, or was not said. `part` is `parts` where a log breaks memory down, from which constants
of engines were read, and `apart` where it has no more than tokens, or yes and no.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimizer import catalog
from optimizer.cost.frame import Frame, frame_of
from optimizer.cost.memory_tokens import kv_cache_tokens, max_context_tokens
from optimizer.evidence.points import read_rows
from optimizer.spec.architecture import Architecture
from optimizer.spec.setup import Setup

_SHORT = 4096
"""Tokens of a request where nobody says: of the length of windows and more, as far as those matter."""


@dataclass(frozen=True)
class KvPoint:
    """One engine at its start."""

    row: dict[str, str]
    model: Architecture
    frame: Frame
    length: int
    tokens: int | None
    """That its cache holds, as it said."""
    fits: bool | None
    """Whether a request of the length does."""

    @property
    def error(self) -> float | None:
        """Relative error of the tokens predicted; positive if these are too many."""
        return None if self.tokens is None else kv_cache_tokens(self.frame, self.model) / self.tokens - 1

    @property
    def right(self) -> bool | None:
        """Whether it is predicted right that a request fits or not."""
        if self.fits is None:
            return None
        return (max_context_tokens(self.frame, self.model) >= self.length) is self.fits


def read_kv_points(path: Path) -> list[KvPoint]:
    """All points of a file, in order. InputError if it cannot be read, or names what is in no catalogue."""
    return [_point(row) for row in read_rows(path)[1]]


def _point(row: dict[str, str]) -> KvPoint:
    model, length = catalog.model(row["model"]), int(row["max_model_len"] or _SHORT)
    numbers: dict[str, Any] = {n: float(row[n]) for n in ("memory_share", "cache_share") if row[n]}
    numbers |= {n: int(row[n]) for n in ("step_tokens", "max_sequences") if row[n]}
    setup = Setup(
        tensor_parallel=int(row["tp"]),
        weight_dtype=row["weight_dtype"],
        kv_dtype=row["kv_dtype"],
        input_tokens=length - 1,
        output_tokens=1,
        engine=catalog.engine(row["engine"], **numbers),
    )
    frame = frame_of(model, catalog.chip(row["chip"]), setup)
    return KvPoint(
        row,
        model,
        frame,
        length,
        int(row["kv_cache_tokens"]) if row["kv_cache_tokens"] else None,
        row["fits"] == "1" if row["fits"] else None,
    )
