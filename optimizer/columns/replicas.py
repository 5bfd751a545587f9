"""Replica configurations as a table of numpy columns: one row is one way to run one replica, or one phase.

Everything nonlinear about a deployment ends in these columns: rate, latencies, memory, chips. Planning is
then linear in the number of replicas of each row.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.cost.placement import read, written
from optimizer.spec.split import DEGREES, FORMATS

MODES = ("aggregated", "prefill", "decode")


@dataclass(frozen=True)
class Column:
    """What a column holds: its type, and what a row has that does not say; None if each must."""

    kind: Any
    default: Any = None


COLUMNS: dict[str, Column] = {
    "mode": Column(str),
    "chip": Column(str),
    **dict.fromkeys(DEGREES, Column(np.int64, 1)),
    "batch": Column(np.int64),
    **dict.fromkeys(FORMATS, Column(str)),
    "chips": Column(np.int64),
    "requests_per_s": Column(np.float64),
    "ttft_ms": Column(np.float64),
    "tpot_ms": Column(np.float64),
    "memory_gib": Column(np.float64),
    "label": Column(str),
    "expert_chip": Column(str, ""),
    "expert_chips": Column(np.int64, 0),
    "expert_memory_gib": Column(np.float64, 0.0),
    "microbatches": Column(np.int64, 1),
    "second_tier_gib": Column(np.float64, 0.0),
    "domains": Column(str),
    "engine": Column(str, ""),
    "in_flight": Column(np.float64, 0.0),
}
_ELSE = {name: column.default for name, column in COLUMNS.items() if column.default is not None}


class Replicas:
    """Columns of equal length; 0 where a figure has no meaning (TPOT of a prefill replica).

    `requests_per_s` is the rate of one replica as measured or predicted, `memory_gib` of one chip, 0 where
    unknown, `label` the row's name in its source. `chips` are of the kind `chip`; `domains` are the blocks of
    them that its figures suppose in one scale-up domain each, as `cost.placement` writes them ('4+2').
    A replica whose experts lie apart has `expert_chips` of the kind `expert_chip` besides, which may be the
    same kind, and each of which stands alone. `second_tier_gib` waits in slower memory. `engine` is
    named where a problem lets several be chosen. `in_flight` are the sequences on the replica in the mean,
    where its figures are a percentile of requests that come at random; 0 where it is always full.
    """

    if TYPE_CHECKING:

        def __getattr__(self, column: str) -> Any: ...

    def __init__(self, **columns: Any) -> None:
        if columns.keys() != COLUMNS.keys():
            raise TypeError(f"columns that are missing or unknown: {sorted(columns.keys() ^ COLUMNS.keys())}")
        vars(self).update({name: columns[name] for name in COLUMNS})

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name}: a table does not change; make another")

    def __len__(self) -> int:
        return len(self.mode)

    def fingerprint(self) -> str:
        """Of all the figures: two tables with the same are the same table."""
        return "\n".join(map(_fingerprint, vars(self).values()))

    def take(self, rows: Any) -> "Replicas":
        """The rows of a mask or of indices."""
        return Replicas(**{name: values[rows] for name, values in vars(self).items()})

    def row(self, index: int) -> dict[str, Any]:
        """One row as plain Python values."""
        return {name: np.asarray(values)[index].item() for name, values in vars(self).items()}

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> "Replicas":
        """A table from rows of plain values."""
        whole = [_ELSE | {"domains": _groups(row)} | dict(row) for row in rows]
        return cls(**{name: _column([row[name] for row in whole], c.kind) for name, c in COLUMNS.items()})

    @classmethod
    def filled(cls, length: int, **columns: Any) -> "Replicas":
        """A table of so many rows from columns, or from single values that all rows have."""
        full = _ELSE | {"domains": _groups(columns)} | columns
        return cls(**{name: np.broadcast_to(full[name], length) for name in COLUMNS})

    def blocks(self, index: int) -> tuple[tuple[int, int], ...]:
        """(chips, how many) of the blocks of one row's replica, experts that lie apart not among them."""
        return read(str(self.domains[index]))

    def lying(self, domains: str) -> "Replicas":
        """The same rows with their chips in these blocks."""
        return Replicas(**{**vars(self), "domains": np.broadcast_to(domains, len(self))})

    def on(self, engine: str) -> "Replicas":
        """The same rows on an engine that is named."""
        return Replicas(**{**vars(self), "engine": np.broadcast_to(engine, len(self))})

    @property
    def all_chips(self) -> Any:
        """Chips of a replica, of both its kinds."""
        return self.chips + self.expert_chips

    @classmethod
    def together(cls, tables: Sequence["Replicas"]) -> "Replicas":
        """Tables one below the other."""
        return cls(**{name: np.concatenate([getattr(t, name) for t in tables]) for name in COLUMNS})


def _groups(row: Mapping[str, Any]) -> str:
    """Where nothing is said of domains: each tensor-parallel group in one, wherever."""
    size = int(row["tensor_parallel"])
    return written({size: int(row["chips"]) // size})


def _column(values: list[Any], kind: Any) -> Any:
    return np.array(values, dtype=np.str_ if kind is str else kind)


def _fingerprint(column: Any) -> str:
    """Of a column of any length: a million rows as text would take longer than to price some of them."""
    values = np.asarray(column)
    data = repr(values.tolist()).encode() if values.dtype == object else values.tobytes()
    return f"{values.dtype} {values.shape} {hashlib.sha256(data).hexdigest()}"
