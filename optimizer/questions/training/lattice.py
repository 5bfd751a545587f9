"""The lattice of training settings: degrees and microbatch as arrays (splits), the rest inside each split.

A split fixes tensor, pipeline, context, data and expert parallelism and the microbatch. Inside it are free:
chunks of the pipeline, what is recomputed, what ZeRO shards over which ranks, sequence parallelism, the
schedule. Chips may be left idle: any product of degrees up to the number of chips is a setting.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from optimizer.cost.training.layout import Layout
from optimizer.cost.training.pipeline import bubble_stages
from optimizer.cost.training.rules import SENTENCES, Facts, kept
from optimizer.questions.training.problem import SetupSpace, TrainingProblem
from optimizer.spec.training import TrainingSetup

_SPLIT_RULES = (
    *("chips_connected", "heads_divide", "width_divides", "experts_divide"),
    *("batch_divides", "sequence_divides"),
)
_CHOICE_RULES = (
    *("stages_have_layers", "interleave_fills", "whole_weights_in_pipelines"),
    *("sequence_divides", "shard_group_divides"),
)
"""Every rule is of splits, of choices inside them, or of both (a test compares with `SENTENCES`)."""


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


@dataclass(frozen=True)
class Domains:
    """The values of each degree and of the microbatch: those given, else all that divide what they split."""

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
        ranks = np.arange(1, min(chips, max((*facts.heads, *facts.widths, 1))) + 1)
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


_LOOKED_AT = 200
_CUT = ("tensor_parallel", "context_parallel", "microbatch", "expert_parallel", "data_parallel")


def _legal(problem: TrainingProblem, facts: Facts, ranks: Any) -> tuple[int, ...]:
    """Tensor-parallel ranks over which every layer divides."""
    rules = kept(facts, layout(problem, tensor_parallel=ranks))
    holds = np.broadcast_to(rules["heads_divide"] & rules["width_divides"], ranks.shape)
    return tuple(int(v) for v in ranks[holds])


def splits_of(problem: TrainingProblem, facts: Facts, domains: Domains, chips: int) -> Splits:
    """Every split of at most `chips` chips with values of some domains that keeps the rules."""
    whole = _meshes(problem, domains, chips)
    rules = kept(facts, layout(problem, **{f.name: getattr(whole, f.name) for f in fields(whole)}))
    keeps = np.ones(len(whole), dtype=bool)
    for name in _SPLIT_RULES:
        keeps &= rules[name]
    return whole.take(keeps)


def _meshes(problem: TrainingProblem, domains: Domains, chips: int) -> Splits:
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


def broken_rules(
    problem: TrainingProblem, facts: Facts, domains: Domains, chips: int
) -> tuple[set[str], set[str]]:
    """(rules that every setting of some domains breaks, rules that some setting breaks).

    For a person who asked for what cannot be: of many splits a few hundred are looked at.
    """
    whole = _meshes(problem, domains, chips)
    if not len(whole):
        return {"batch_divides"}, {"batch_divides"}
    always: set[str] = set(SENTENCES)
    some: set[str] = set()
    for i in range(0, len(whole), max(1, len(whole) // _LOOKED_AT)):
        split = whole.row(i)
        replicas = split["data_parallel"] * split["context_parallel"]
        for pipeline in _pipelines(problem.setup, facts.n_layers, split["pipeline_parallel"]):
            for shard in _shards(problem.setup, replicas) or [{}]:
                for sequence in _sequences(problem.setup, split["tensor_parallel"]):
                    at = layout(problem, **(split | pipeline | shard | sequence))
                    broken = {name for name, holds in kept(facts, at).items() if not np.all(holds)}
                    broken |= set() if shard else {"shard_group_divides"}
                    always, some = always & broken, some | broken
    return always, some


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


@dataclass(frozen=True)
class Options:
    """A part of the settings inside splits: what may be chosen where some fields of a split are the same.

    What `estimate` prices, the search searches: `columns` are all the choices that the problem leaves, and
    `rules` has the last word on each.
    """

    place: Any
    """Row of the distinct fields for each split, shape (splits,)."""
    of: Any
    """Row of the distinct fields for each choice, shape (choices,), ascending."""
    columns: dict[str, Any]
    keys: dict[str, Any]
    """The distinct fields, one row each."""

    def count(self) -> Any:
        """Choices of each split."""
        return np.bincount(self.of, minlength=int(self.place.max(initial=-1)) + 1)[self.place]

    def at(self, split: int) -> dict[str, Any]:
        """The choices of one split."""
        first, last = np.searchsorted(self.of, [self.place[split], self.place[split] + 1])
        return {name: values[first:last] for name, values in self.columns.items()}


@dataclass(frozen=True)
class Choices:
    """Every part of the settings inside splits; a setting takes one choice of each."""

    parts: tuple[Options, ...]
    plain: Layout
    """A layout of the problem, for formulas of fields that choices have."""

    @classmethod
    def of(cls, problem: TrainingProblem, facts: Facts, splits: Splits) -> "Choices":
        """All that the problem leaves and the rules allow."""
        space, s = problem.setup, splits
        n_microbatches = problem.global_batch // (s.microbatch * s.data_parallel)
        replicas = s.data_parallel * s.context_parallel
        again = [
            {"recompute_attention": how != "none", "recompute_layers": how == "full"}
            for how in space.recompute
        ]
        return cls(
            (
                _options(
                    problem,
                    facts,
                    {"pipeline_parallel": s.pipeline_parallel, "global_batch": n_microbatches},
                    lambda p, m: _pipelines(space, facts.n_layers, p),
                ),
                _options(problem, facts, {}, lambda: again, len(s)),
                _options(
                    problem,
                    facts,
                    {"pipeline_parallel": np.minimum(s.pipeline_parallel, 2), "data_parallel": replicas},
                    lambda p, n: _shards(space, n),
                ),
                _options(
                    problem,
                    facts,
                    {"tensor_parallel": s.tensor_parallel, "context_parallel": s.context_parallel},
                    lambda t, c: _sequences(space, t),
                ),
            ),
            layout(problem),
        )

    def count(self) -> Any:
        """Settings of each split."""
        counts = [part.count() for part in self.parts]
        return np.prod(np.stack(counts), axis=0, dtype=np.int64)

    @property
    def least_bubble(self) -> Any:
        """Mean stages that each split waits at least (inf where it has no pipeline)."""
        part = self.parts[0]
        least = np.full(len(part.keys["pipeline_parallel"]), np.inf)
        stages = part.keys["pipeline_parallel"][part.of]
        waits = bubble_stages(replace(self.plain, pipeline_parallel=stages, **part.columns))
        np.minimum.at(least, part.of, waits)
        return least[part.place]

    def take(self, rows: Any) -> "Choices":
        """Those of some splits."""
        return replace(self, parts=tuple(replace(part, place=part.place[rows]) for part in self.parts))

    def inner(self, split: int) -> Inner:
        """Every setting of one split."""
        parts = [part.at(split) for part in self.parts]
        sizes = [len(next(iter(part.values()))) for part in parts]
        places = np.indices(sizes).reshape(len(sizes), -1)
        columns = {
            name: values[rows]
            for part, rows in zip(parts, places, strict=True)
            for name, values in part.items()
        }
        return Inner(**columns)


def _options(
    problem: TrainingProblem,
    facts: Facts,
    keys: dict[str, Any],
    choices: Callable[..., list[dict[str, Any]]],
    n_splits: int = 0,
) -> Options:
    """The choices for each distinct row of `keys`, fields of a layout, that break no rule."""
    rows, place = distinct(*keys.values()) if keys else ([()], np.zeros(n_splits, dtype=np.int64))
    listed = [(i, choice) for i, row in enumerate(rows) for choice in choices(*row)]
    of = np.array([i for i, _ in listed], dtype=np.int64)
    names = list(listed[0][1]) if listed else []
    columns = {name: np.array([choice[name] for _, choice in listed], dtype=np.int64) for name in names}
    fixed = {name: np.array([rows[i][k] for i in of], dtype=np.int64) for k, name in enumerate(keys)}
    keeps = np.ones(len(of), dtype=bool)
    for name, holds in kept(facts, layout(problem, **(fixed | columns))).items():
        if name in _CHOICE_RULES:
            keeps &= np.broadcast_to(holds, keeps.shape)
    fields_of = {name: np.array([row[k] for row in rows], dtype=np.int64) for k, name in enumerate(keys)}
    left = {name: values[keeps] for name, values in columns.items()}
    return Options(place, of[keeps], left, fields_of)


def _pipelines(space: SetupSpace, n_layers: int, stages: int) -> list[dict[str, Any]]:
    """Chunks and schedules. Of one stage every schedule is the same: the first one given stands for all."""
    chunks = space.pipeline_interleave or range(1, max(1, n_layers // stages) + 1)
    schedules = sorted({how == "zero_bubble" for how in space.schedule})
    return [
        {"pipeline_interleave": v, "zero_bubble": z}
        for v in chunks
        for z in (schedules if stages > 1 else schedules[:1])
    ]


def _shards(space: SetupSpace, replicas: int) -> list[dict[str, Any]]:
    """What ZeRO shards over how many ranks; nothing, over one."""
    allowed = space.zero_group
    groups = [g for g in divisors(replicas) if allowed is None or g in allowed]
    return [
        {"zero_stage": stage, "zero_group": g}
        for stage in sorted(set(space.zero_stage))
        for g in (groups if stage else [1])
    ]


def _sequences(space: SetupSpace, ranks: int) -> list[dict[str, Any]]:
    """Whether norms are split along the sequence; on one rank it makes no difference."""
    ways = sorted(set(space.sequence_parallel))
    return [{"sequence_parallel": way} for way in (ways if ranks > 1 else ways[:1])]


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
