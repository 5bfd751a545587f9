"""The lattice of training settings: degrees and microbatch as arrays (splits), the rest inside each split.

A split fixes tensor, pipeline, context, data and expert parallelism and the microbatch. Inside it are free:
chunks of the pipeline, what is recomputed, what ZeRO shards over which ranks, sequence parallelism, the
schedule. Chips may be left idle: any product of degrees up to the number of chips is a setting.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from optimizer.cost.training.layout import Layout
from optimizer.cost.training.rules import Facts, facts_of, kept
from optimizer.spec.architecture import Architecture
from optimizer.spec.training import TrainingSetup
from optimizer.spec.training_problem import SetupSpace, TrainingProblem

_SPLIT_RULES = ("heads_divide", "width_divides", "experts_divide", "batch_divides", "sequence_divides")


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
        "recompute_attention": 0,
        "recompute_layers": 0,
        "zero_stage": 0,
        "zero_group": 1,
        "gradient_bytes": space.gradient_bytes,
        "optimizer_bytes": space.optimizer_bytes,
        "zero_bubble": 0,
        "flash_attention": space.flash_attention,
        "dropout": space.dropout,
        "overlap": space.overlap,
        "engine": space.engine,
    }
    return Layout(**(base | own))


def splits_of(problem: TrainingProblem, architecture: Architecture, chips: int) -> Splits:
    """Every split of at most `chips` chips that keeps the rules of divisibility."""
    facts, space = facts_of(architecture), problem.setup
    t, p, c, d, e = _meshes(problem, facts, chips)
    batches = np.array(space.microbatch or divisors(problem.global_batch))
    found = []
    for b in batches:
        rows = problem.global_batch % (d * b) == 0
        found.append((t[rows], p[rows], c[rows], d[rows], e[rows], np.full(rows.sum(), b)))
    whole = Splits(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
    at = layout(problem, **{f.name: getattr(whole, f.name) for f in fields(whole)})
    rules = kept(facts, at)
    keeps = np.ones(len(whole), dtype=bool)
    for name in _SPLIT_RULES:
        keeps &= rules[name]
    return whole.take(keeps)


def _meshes(problem: TrainingProblem, facts: Facts, chips: int) -> tuple[Any, ...]:
    """Degrees whose product is at most `chips`."""
    space = problem.setup
    most = min(chips, max((*facts.heads, 1)))
    columns = np.zeros((1, 0), dtype=np.int64)
    degrees: list[Iterable[int]] = [
        space.tensor_parallel or [t for t in range(1, most + 1) if all(n % t == 0 for n in facts.heads)],
        space.pipeline_parallel or range(1, facts.n_layers + 1),
        space.context_parallel or _powers(problem.sequence_length // 2, chips),
        space.data_parallel or divisors(problem.global_batch),
    ]
    for values in degrees:
        columns = _times(columns, [v for v in values if v <= chips])
        columns = columns[np.prod(columns, axis=1) <= chips]
    experts = space.expert_parallel or sorted({k for n in facts.experts for k in divisors(n)}) or [1]
    columns = _times(columns, list(experts))
    return tuple(columns.T)


def _times(columns: Any, values: list[int]) -> Any:
    """Each row with each value behind it."""
    if not values:
        return np.zeros((0, columns.shape[1] + 1), dtype=np.int64)
    left = np.repeat(columns, len(values), axis=0)
    right = np.tile(np.array(values, dtype=np.int64), len(columns))
    return np.column_stack([left, right])


def _powers(n: int, most: int) -> list[int]:
    """Powers of two that divide n, up to `most`."""
    found = [1]
    while found[-1] * 2 <= most and n % (found[-1] * 2) == 0:
        found.append(found[-1] * 2)
    return found


@dataclass(frozen=True)
class Inner:
    """The settings inside a split, one row each."""

    pipeline_interleave: Any
    recompute_attention: Any
    recompute_layers: Any
    zero_stage: Any
    zero_group: Any
    sequence_parallel: Any
    zero_bubble: Any

    def __len__(self) -> int:
        return len(self.zero_stage)


def inner_of(problem: TrainingProblem, n_layers: int, split: dict[str, int]) -> Inner:
    """Every setting inside a split; equal ones (ZeRO on one rank, chunks of one stage) are there once."""
    t, p = split["tensor_parallel"], split["pipeline_parallel"]
    replicas = split["data_parallel"] * split["context_parallel"]
    return _inner(problem.setup, _chunks(problem, n_layers, split), replicas, t > 1, p > 1)


def _chunks(problem: TrainingProblem, n_layers: int, split: dict[str, int]) -> tuple[int, ...]:
    """Chunks that a pipeline may interleave: it runs microbatches in multiples of its stages."""
    p = split["pipeline_parallel"]
    m = problem.global_batch // (split["microbatch"] * split["data_parallel"])
    allowed = problem.setup.pipeline_interleave
    most = n_layers // p if p > 1 and m % p == 0 else 1
    return tuple(v for v in range(1, most + 1) if allowed is None or v in allowed)


@lru_cache(maxsize=4096)
def _inner(space: SetupSpace, chunks: tuple[int, ...], replicas: int, split: bool, staged: bool) -> Inner:
    """Chunks and schedules, times recomputation, times ZeRO, times sequence parallelism."""
    pipelines = [(v, z) for v in chunks for z in _schedules(space, staged and v == 1)]
    again = [(how != "none", how == "full") for how in space.recompute]
    tables = (
        pipelines,
        again,
        list(_shards(space, replicas, staged)),
        [(s,) for s in _sequence(space, split)],
    )
    arrays = [np.array(table, dtype=np.int64).reshape(len(table), -1) for table in tables]
    places = np.indices([len(a) for a in arrays]).reshape(len(arrays), -1)
    (v, z), (attention, layers), (stage, group), (sequence,) = (
        a[rows].T for a, rows in zip(arrays, places, strict=True)
    )
    return Inner(v, attention, layers, stage, group, sequence, z)


def n_inner(problem: TrainingProblem, n_layers: int, splits: Splits) -> Any:
    """How many settings each split has that keep every rule, without listing them."""
    space, t, p = problem.setup, splits.tensor_parallel, splits.pipeline_parallel
    m = problem.global_batch // (splits.microbatch * splits.data_parallel)
    pipelines = _counted(
        np.where((p > 1) & (m % p == 0), n_layers // p, 1), lambda most: _n_chunks(space, most)
    )
    alone = 1 in (space.pipeline_interleave or (1,))
    both = len(_schedules(space, True)) * alone
    chunked = (pipelines - alone) * len(_schedules(space, False))
    schedules = np.where(p > 1, both + chunked, alone * len(_schedules(space, False)))
    replicas = splits.data_parallel * splits.context_parallel
    unstaged = _counted(replicas, lambda n: len(list(_shards(space, n, False))))
    staged = _counted(replicas, lambda n: len(list(_shards(space, n, True))))
    shards = np.where(p > 1, staged, unstaged)
    divides = problem.sequence_length // splits.context_parallel % t == 0
    whole, split = (int(way in space.sequence_parallel) for way in (False, True))
    sequences = np.where(t > 1, whole + split * divides, 1)
    return schedules * len(space.recompute) * shards * sequences


def _counted(values: Any, count: Callable[[int], int]) -> Any:
    """A function of whole numbers, worked out once for each."""
    unique, inverse = np.unique(values, return_inverse=True)
    return np.array([count(int(v)) for v in unique], dtype=np.int64)[inverse.reshape(-1)]


def _n_chunks(space: SetupSpace, most: int) -> int:
    allowed = space.pipeline_interleave
    return most if allowed is None else sum(v <= most for v in allowed)


def _shards(space: SetupSpace, replicas: int, staged: bool) -> Iterator[tuple[int, int]]:
    """(stage, group): nothing to shard on one rank, stage 0 knows no group, pipelines keep whole weights."""
    stages = [stage for stage in space.zero_stage if stage < 3 or not staged]
    for stage in stages:
        if stage == 0 or replicas == 1:
            if stage == min(stages):
                yield stage, 1
            continue
        groups = [g for g in divisors(replicas) if g > 1]
        yield from ((stage, g) for g in groups if space.zero_group is None or g in space.zero_group)


def _sequence(space: SetupSpace, split: bool) -> list[bool]:
    return sorted(set(space.sequence_parallel)) if split else [False]


def _schedules(space: SetupSpace, choice: bool) -> list[bool]:
    wanted = sorted({s == "zero_bubble" for s in space.schedule})
    return wanted if choice else [False] if False in wanted else []


def sequence_keeps(problem: TrainingProblem, split: dict[str, int], inner: Inner) -> Any:
    """Where the sequence's shards divide over the tensor-parallel ranks."""
    share = problem.sequence_length // split["context_parallel"]
    return (inner.sequence_parallel == 0) | (share % split["tensor_parallel"] == 0)


def setup_of(problem: TrainingProblem, split: dict[str, int], inner: Inner, i: int) -> TrainingSetup:
    """A setting as a setup of its own."""
    space = problem.setup
    again = "full" if inner.recompute_layers[i] else "selective" if inner.recompute_attention[i] else "none"
    stage, group = int(inner.zero_stage[i]), int(inner.zero_group[i])
    return TrainingSetup(
        **split,
        sequence_parallel=bool(inner.sequence_parallel[i]),
        pipeline_interleave=int(inner.pipeline_interleave[i]),
        global_batch=problem.global_batch,
        sequence_length=problem.sequence_length,
        recompute=again,
        zero_stage=stage,
        zero_group=group if stage else None,
        schedule="zero_bubble" if inner.zero_bubble[i] else "1f1b",
        **{
            name: getattr(space, name)
            for name in (
                "dtype",
                "engine",
                "gradient_bytes",
                "optimizer_bytes",
                "flash_attention",
                "dropout",
                "overlap",
            )
        },
    )


def with_inner(problem: TrainingProblem, split: dict[str, int], inner: Inner) -> Layout:
    """The layout of all settings inside a split."""
    own = {f.name: getattr(inner, f.name) for f in fields(inner)}
    return replace(layout(problem, **split), **own)
