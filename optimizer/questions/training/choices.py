"""What is free inside a split of training settings.

Chunks of the pipeline, what is recomputed, what ZeRO shards over which ranks, sequence parallelism, the
schedule.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from optimizer.cost.training.layout import Layout
from optimizer.cost.training.pipeline import bubble_stages
from optimizer.cost.training.rules import Facts, kept
from optimizer.questions.training.problem import SetupSpace, TrainingProblem
from optimizer.questions.training.splits import Splits, distinct, divisors, layout
from optimizer.spec.training import TrainingSetup

_CHOICE_RULES = (
    *("stages_have_layers", "interleave_fills", "dualpipe_fills", "whole_weights_in_pipelines"),
    *("sequence_divides", "shard_group_divides"),
)
"""Every rule is of splits, of choices inside them, or of both (a test compares with `SENTENCES`)."""


AGAIN = {
    "none": {"recompute_light": 0, "recompute_attention": 0, "recompute_layers": 0},
    "light": {"recompute_light": 1, "recompute_attention": 0, "recompute_layers": 0},
    "selective": {"recompute_light": 0, "recompute_attention": 1, "recompute_layers": 0},
    "full": {"recompute_light": 0, "recompute_attention": 1, "recompute_layers": 1},
}
"""What is computed again, in the fields of a layout."""
SCHEDULES = {
    "1f1b": {"zero_bubble": 0, "dualpipe": 0},
    "zero_bubble": {"zero_bubble": 1, "dualpipe": 0},
    "dualpipe": {"zero_bubble": 0, "dualpipe": 1},
}
"""The same of schedules."""


@dataclass(frozen=True)
class Inner:
    """The settings inside a split, one row each."""

    pipeline_interleave: Any
    recompute_light: Any
    recompute_attention: Any
    recompute_layers: Any
    zero_stage: Any
    zero_group: Any
    sequence_parallel: Any
    zero_bubble: Any
    dualpipe: Any

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
        again = [AGAIN[how] for how in space.recompute]
        return cls(
            (
                _options(
                    problem,
                    facts,
                    {"pipeline_parallel": s.pipeline_parallel, "global_batch": n_microbatches},
                    lambda p, m: pipelines(space, facts.n_layers, p),
                ),
                _options(problem, facts, {}, lambda: again, len(s)),
                _options(
                    problem,
                    facts,
                    {"pipeline_parallel": np.minimum(s.pipeline_parallel, 2), "data_parallel": replicas},
                    lambda p, n: shards(space, n),
                ),
                _options(
                    problem,
                    facts,
                    {"tensor_parallel": s.tensor_parallel, "context_parallel": s.context_parallel},
                    lambda t, c: sequences(space, t),
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


def pipelines(space: SetupSpace, n_layers: int, stages: int) -> list[dict[str, Any]]:
    """Chunks and schedules. Of one stage every schedule is the same: the plainest given stands for all."""
    chunks = space.pipeline_interleave or range(1, max(1, n_layers // stages) + 1)
    given = [how for how in SCHEDULES if how in space.schedule]
    schedules = given if stages > 1 else given[:1]
    return [{"pipeline_interleave": v, **SCHEDULES[how]} for v in chunks for how in schedules]


def shards(space: SetupSpace, replicas: int) -> list[dict[str, Any]]:
    """What ZeRO shards over how many ranks; nothing, over one."""
    allowed = space.zero_group
    groups = [g for g in divisors(replicas) if allowed is None or g in allowed]
    return [
        {"zero_stage": stage, "zero_group": g}
        for stage in sorted(set(space.zero_stage))
        for g in (groups if stage else [1])
    ]


def sequences(space: SetupSpace, ranks: int) -> list[dict[str, Any]]:
    """Whether norms are split along the sequence; on one rank it makes no difference."""
    ways = sorted(set(space.sequence_parallel))
    return [{"sequence_parallel": way} for way in (ways if ranks > 1 else ways[:1])]


def setup_of(problem: TrainingProblem, split: dict[str, int], inner: Inner, i: int) -> TrainingSetup:
    """A setting as a setup of its own."""
    space = problem.setup
    again = _named(AGAIN, inner, i)
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
        schedule=_named(SCHEDULES, inner, i),
        **{
            name: getattr(space, name)
            for name in (
                "dtype",
                "dispatch",
                "dispatch_dtype",
                "engine",
                "gradient_bytes",
                "optimizer_bytes",
                "flash_attention",
                "dropout",
                "overlap",
                "reserve_gib",
            )
        },
    )


def _named(words: dict[str, dict[str, int]], inner: Inner, i: int) -> str:
    """The word for the fields of one setting."""
    return next(word for word, own in words.items() if all(getattr(inner, f)[i] == own[f] for f in own))


def with_inner(problem: TrainingProblem, split: dict[str, int], inner: Inner) -> Layout:
    """The layout of all settings inside a split."""
    own = {f.name: getattr(inner, f.name) for f in fields(inner)}
    return replace(layout(problem, **split), **own)
