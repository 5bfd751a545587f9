"""Replica configurations as a table of numpy columns: one row is one way to run one replica, or one phase.

Everything nonlinear about a deployment ends in these columns: rate, latencies, memory, chips. Planning is
then linear in the number of replicas of each row.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from optimizer.cost.placement import read, written

MODES = ("aggregated", "prefill", "decode")
FORMATS: dict[str, Any] = {
    "mode": str,
    "chip": str,
    "tensor_parallel": np.int64,
    "pipeline_parallel": np.int64,
    "expert_parallel": np.int64,
    "data_parallel": np.int64,
    "batch": np.int64,
    "weight_dtype": str,
    "kv_dtype": str,
    "chips": np.int64,
    "requests_per_s": np.float64,
    "ttft_ms": np.float64,
    "tpot_ms": np.float64,
    "memory_gib": np.float64,
    "label": str,
    "expert_chip": str,
    "expert_chips": np.int64,
    "expert_memory_gib": np.float64,
    "microbatches": np.int64,
    "second_tier_gib": np.float64,
    "domains": str,
}
_ELSE: dict[str, Any] = {
    "expert_chip": "",
    "expert_chips": 0,
    "expert_memory_gib": 0.0,
    "microbatches": 1,
    "second_tier_gib": 0.0,
}
"""What a row has that does not say."""


@dataclass(frozen=True, eq=False)
class Replicas:
    """Columns of equal length; 0 where a figure has no meaning (TPOT of a prefill replica).

    `requests_per_s` is the rate of one replica as measured or predicted, `memory_gib` of one chip, 0 where
    unknown, `label` the row's name in its source. `chips` are of the kind `chip`; `domains` are the blocks of
    them that its figures suppose in one scale-up domain each, as `cost.placement` writes them ('4+2').
    A replica whose experts lie apart has `expert_chips` of the kind `expert_chip` besides, which may be the
    same kind, and each of which stands alone. `second_tier_gib` waits in slower memory.
    """

    mode: Any
    chip: Any
    tensor_parallel: Any
    pipeline_parallel: Any
    expert_parallel: Any
    data_parallel: Any
    batch: Any
    weight_dtype: Any
    kv_dtype: Any
    chips: Any
    requests_per_s: Any
    ttft_ms: Any
    tpot_ms: Any
    memory_gib: Any
    label: Any
    expert_chip: Any
    expert_chips: Any
    expert_memory_gib: Any
    microbatches: Any
    second_tier_gib: Any
    domains: Any

    def __len__(self) -> int:
        return len(self.mode)

    def fingerprint(self) -> str:
        """Of all the figures: two tables with the same are the same table."""
        return "\n".join(map(_fingerprint, vars(self).values()))

    def take(self, rows: Any) -> "Replicas":
        """The rows of a mask or of indices."""
        return Replicas(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def row(self, index: int) -> dict[str, Any]:
        """One row as plain Python values."""
        return {f.name: np.asarray(getattr(self, f.name))[index].item() for f in fields(self)}

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> "Replicas":
        """A table from rows of plain values."""
        whole = [_ELSE | {"domains": _groups(row)} | dict(row) for row in rows]
        return cls(**{name: _column([row[name] for row in whole], kind) for name, kind in FORMATS.items()})

    @classmethod
    def filled(cls, length: int, **columns: Any) -> "Replicas":
        """A table of so many rows from columns, or from single values that all rows have."""
        full = _ELSE | {"domains": _groups(columns)} | columns
        return cls(**{name: np.broadcast_to(full[name], length) for name in FORMATS})

    def blocks(self, index: int) -> tuple[tuple[int, int], ...]:
        """(chips, how many) of the blocks of one row's replica, experts that lie apart not among them."""
        return read(str(self.domains[index]))

    def lying(self, domains: str) -> "Replicas":
        """The same rows with their chips in these blocks."""
        return Replicas(**{**vars(self), "domains": np.broadcast_to(domains, len(self))})

    @property
    def all_chips(self) -> Any:
        """Chips of a replica, of both its kinds."""
        return self.chips + self.expert_chips

    @classmethod
    def together(cls, tables: Sequence["Replicas"]) -> "Replicas":
        """Tables one below the other."""
        return cls(**{name: np.concatenate([getattr(t, name) for t in tables]) for name in FORMATS})


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
