"""Splits of training settings: degrees of parallelism and the microbatch, as arrays.

What else a setting has is chosen inside each split (`choices.py`). Chips may be left idle: any product of
degrees up to the number of chips is a split.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from optimizer.cost.training.layout import Layout
from optimizer.cost.training.rules import Facts, kept
from optimizer.questions.training.problem import TrainingProblem

_SPLIT_RULES = (
    *("chips_connected", "heads_divide", "width_divides", "experts_divide"),
    *("batch_divides", "sequence_divides"),
)


@dataclass(frozen=True)
class Splits:
    """One row per split."""

    tensor_parallel: Any
    pipeline_parallel: Any
    context_parallel: Any
    data_parallel: Any
    expert_parallel: Any
    microbatch: Any

    def __len__(self) -> int:
        return len(self.microbatch)

    def take(self, rows: Any) -> "Splits":
        """Some of the rows."""
        return Splits(*(getattr(self, f.name)[rows] for f in fields(self)))

    def row(self, i: int) -> dict[str, int]:
        """One row as whole numbers."""
        return {f.name: int(getattr(self, f.name)[i]) for f in fields(self)}

    @property
    def n_chips(self) -> Any:
        """Chips each split uses."""
        return self.tensor_parallel * self.pipeline_parallel * self.context_parallel * self.data_parallel


def divisors(n: int) -> list[int]:
    """All divisors, ascending."""
    small = [k for k in range(1, int(n**0.5) + 1) if n % k == 0]
    return sorted({*small, *(n // k for k in small)})


def layout(problem: TrainingProblem, **own: Any) -> Layout:
    """A layout of the problem with some fields as arrays; others as a plain setting has them."""
    space = problem.setup
    base: dict[str, Any] = {
        "tensor_parallel": 1,
        "sequence_parallel": 0,
        "pipeline_parallel": 1,
        "pipeline_interleave": 1,
        "data_parallel": 1,
        "context_parallel": 1,
        "expert_parallel": 1,
        "microbatch": 1,
        "global_batch": problem.global_batch,
        "sequence_length": problem.sequence_length,
        "recompute_light": 0,
        "recompute_attention": 0,
        "recompute_layers": 0,
        "zero_stage": 0,
        "zero_group": 1,
        "gradient_bytes": space.gradient_bytes,
        "optimizer_bytes": space.optimizer_bytes,
        "zero_bubble": 0,
        "dualpipe": 0,
        "flash_attention": space.flash_attention,
        "dropout": space.dropout,
        "overlap": space.overlap,
        "engine": space.engine,
        "reserve_gib": space.reserve_gib,
        "dtype": space.dtype,
        "dispatch": space.dispatch,
        "dispatch_dtype": space.dispatch_dtype,
    }
    return Layout(**(base | own))


@dataclass(frozen=True)
class Domains:
    """The values of each degree and of the microbatch: those given, else all that divide what they split.

    A tensor-parallel group leaves the scale-up domain only where the problem says so, as in serving.
    """

    tensor_parallel: tuple[int, ...]
    pipeline_parallel: tuple[int, ...]
    context_parallel: tuple[int, ...]
    data_parallel: tuple[int, ...]
    expert_parallel: tuple[int, ...]
    microbatch: tuple[int, ...]

    @classmethod
    def of(cls, problem: TrainingProblem, facts: Facts, chips: int) -> "Domains":
        """The domains of a problem on at most `chips` chips."""
        space = problem.setup
        widest = min(chips, facts.domain, max((*facts.heads, *facts.widths, 1)))
        ranks = np.arange(1, int(widest) + 1)
        experts = sorted({k for n in facts.experts for k in divisors(n)}) or [1]
        found: list[Iterable[int]] = [
            space.tensor_parallel or _legal(problem, facts, ranks),
            space.pipeline_parallel or range(1, facts.n_layers + 1),
            space.context_parallel or _contexts(problem.sequence_length),
            space.data_parallel or divisors(problem.global_batch),
        ]
        tensor, pipeline, context, data = (tuple(v for v in values if v <= chips) for values in found)
        batches = tuple(space.microbatch or divisors(problem.global_batch))
        return cls(tensor, pipeline, context, data, tuple(space.expert_parallel or experts), batches)

    @property
    def size(self) -> int:
        """Splits at most, before any rule."""
        return math.prod(len(getattr(self, f.name)) for f in fields(self))

    def parts(self) -> list["Domains"]:
        """The same, one value of a degree in each: of the first in `_CUT` that has several."""
        for name in _CUT:
            values = getattr(self, name)
            if len(values) > 1:
                return [replace(self, **{name: (v,)}) for v in values]
        return [self]


_CUT = ("tensor_parallel", "context_parallel", "microbatch", "expert_parallel", "data_parallel")


def _legal(problem: TrainingProblem, facts: Facts, ranks: Any) -> tuple[int, ...]:
    """Tensor-parallel ranks over which every layer divides."""
    rules = kept(facts, layout(problem, tensor_parallel=ranks))
    holds = np.broadcast_to(rules["heads_divide"] & rules["width_divides"], ranks.shape)
    return tuple(int(v) for v in ranks[holds])


def splits_of(problem: TrainingProblem, facts: Facts, domains: Domains, chips: int) -> Splits:
    """Every split of at most `chips` chips with values of some domains that keeps the rules."""
    whole = meshes(problem, domains, chips)
    rules = kept(facts, layout(problem, **{f.name: getattr(whole, f.name) for f in fields(whole)}))
    keeps = np.ones(len(whole), dtype=bool)
    for name in _SPLIT_RULES:
        keeps &= rules[name]
    return whole.take(keeps)


def meshes(problem: TrainingProblem, domains: Domains, chips: int) -> Splits:
    """Degrees whose product is at most `chips`, with microbatches that fill the global batch."""
    columns = np.zeros((1, 0), dtype=np.int64)
    for values in (
        domains.tensor_parallel,
        domains.pipeline_parallel,
        domains.context_parallel,
        domains.data_parallel,
    ):
        columns = _times(columns, values)
        columns = columns[np.prod(columns, axis=1) <= chips]
    columns = _times(columns, domains.expert_parallel)
    parts = []
    for b in domains.microbatch:
        rows = columns[problem.global_batch % (columns[:, 3] * b) == 0]
        parts.append(np.column_stack([rows, np.full(len(rows), b)]))
    t, p, c, d, e, b = np.concatenate(parts).T
    return Splits(t, p, c, d, e, b)


def distinct(*columns: Any) -> tuple[list[tuple[int, ...]], Any]:
    """(the distinct rows of some columns of counts, the place of each row among them)."""
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for values in columns:  # one number a row: sorting rows of several takes ten times as long
        code = code * (int(values.max(initial=0)) + 1) + values
    _, first, place = np.unique(code, return_index=True, return_inverse=True)
    rows = [tuple(int(values[i]) for values in columns) for i in first]
    return rows, place.reshape(-1)


def _times(columns: Any, values: Sequence[int]) -> Any:
    """Each row with each value behind it."""
    if not values:
        return np.zeros((0, columns.shape[1] + 1), dtype=np.int64)
    left = np.repeat(columns, len(values), axis=0)
    right = np.tile(np.array(values, dtype=np.int64), len(columns))
    return np.column_stack([left, right])


def _contexts(sequence_length: int) -> list[int]:
    """Ranks that may share a sequence, two parts of it each."""
    return divisors(sequence_length // 2) if sequence_length % 2 == 0 else [1]
