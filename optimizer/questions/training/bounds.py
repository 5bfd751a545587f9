"""What a split can reach at best: a lower bound of its step and of its memory, for all splits at once.

Every part of the step is taken at its own optimum inside the split, as if the choices did not exclude each
other: nothing computed again, norms split over the sequence, the cheaper of the tensor-parallel messages, the
shortest bubble, messages hidden as far as they ever are, the optimizer sharded over all replicas. Memory
likewise: as much as possible computed again, everything sharded over all replicas, no buffers. So no setting
of the split is below either, and a split whose bounds cannot win is ruled out unseen.

Messages of experts that hide behind computing hide the better the longer it takes, but both together never
take less for that: computing c and messages m take c + max(0, m - c) + leak min(m, c), which rises with c.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.training import messages
from optimizer.cost.training.constants import ENGINES
from optimizer.cost.training.layout import Layout
from optimizer.cost.training.memory import rank_parameters, training_memory
from optimizer.cost.training.pipeline import equal_turns
from optimizer.cost.training.step import Parts, added_up, head_of, layer_messages, optimizer_s, passes
from optimizer.cost.training.work import Shape, Work, work
from optimizer.questions.training.choices import AGAIN, Choices
from optimizer.questions.training.problem import TrainingProblem
from optimizer.questions.training.splits import Domains, Splits, distinct, divisors, layout
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.watch import UNWATCHED, Watch

_AT_ONCE = 100_000


class Works:
    """The work of ranks by (tensor, context, expert) parallelism, each priced once for all microbatches."""

    def __init__(self, problem: TrainingProblem, architecture: Architecture, chip: Chip) -> None:
        self.problem, self.architecture, self.chip = problem, architecture, chip
        space = problem.setup
        self.microbatches = np.array(sorted(set(space.microbatch or divisors(problem.global_batch))))
        self._known: dict[tuple[int, ...], Work] = {}

    def of(self, splits: Splits) -> Work:
        """One row of work for each split."""
        shapes, place = distinct(splits.tensor_parallel, splits.context_parallel, splits.expert_parallel)
        known = [self._one(shape) for shape in shapes]
        columns = np.searchsorted(self.microbatches, splits.microbatch)
        size = (len(known), len(self.microbatches))
        table = {
            f.name: np.array([np.broadcast_to(getattr(w, f.name), size[1:]) for w in known]).reshape(size)
            for f in fields(Work)
        }
        return Work(**{name: values[place, columns] for name, values in table.items()})

    def _one(self, shape: tuple[int, ...]) -> Work:
        if shape not in self._known:
            space = self.problem.setup
            t, c, e = shape
            rank = Shape(
                t,
                c,
                e,
                self.microbatches,
                self.problem.sequence_length,
                space.dtype,
                space.flash_attention,
                space.engine,
            )
            self._known[shape] = work(self.architecture, self.chip, rank)
        return self._known[shape]


class ChipSeconds:
    """Chip-seconds of a step at least, by degrees and microbatch: on n chips it takes no less than an n-th.

    Whatever the pipeline and the data parallelism are:

    step >= m x slowest stage >= B / (b d) x layers / p,  n = t p c d   =>   n step >= B layers t c / b
    """

    def __init__(self, works: Works, domains: Domains, chips: float, watch: Watch = UNWATCHED) -> None:
        """Raises Stopped."""
        axes = (
            domains.tensor_parallel,
            domains.context_parallel,
            domains.expert_parallel,
            domains.microbatch,
        )
        self._places = [{value: i for i, value in enumerate(axis)} for axis in axes]
        self._least = np.full([len(axis) for axis in axes], np.inf)
        for i, t in enumerate(axes[0]):
            for j, c in enumerate(axes[1]):
                if t * c > chips:
                    continue
                watch.check()
                e, b = (grid.reshape(-1) for grid in np.meshgrid(axes[2], axes[3], indexing="ij"))
                one = np.ones_like(e)
                splits = Splits(t * one, one, c * one, one, e, b)
                own, problem = works.of(splits), works.problem
                ways = [_at(problem, splits, how) for how in _least_again(problem.setup.recompute)]
                layers = reduce(np.minimum, [_layers_s(problem, own, at, works.chip) for at in ways])
                seconds = problem.global_batch * layers * t * c / b
                self._least[i, j] = seconds.reshape(self._least.shape[2:])

    def of(self, domains: Domains) -> float:
        """The least of some part of the domains; inf where it needs more chips than there are."""
        axes = (
            domains.tensor_parallel,
            domains.context_parallel,
            domains.expert_parallel,
            domains.microbatch,
        )
        rows = np.ix_(*([place[v] for v in axis] for place, axis in zip(self._places, axes, strict=True)))
        return float(np.min(self._least[rows], initial=np.inf))


@dataclass(frozen=True)
class Bounds:
    """Least seconds of a step, and least bytes on a chip, of each split."""

    step_s: Any
    memory: Any


def bounds_of(works: Works, splits: Splits, choices: Choices, watch: Watch = UNWATCHED) -> Bounds:
    """The bounds of all splits, some at a time. Raises Stopped."""
    parts = []
    for i in range(0, len(splits), _AT_ONCE):
        watch.check()
        rows = slice(i, i + _AT_ONCE)
        parts.append(_bounds(works, splits.take(rows), choices.take(rows)))
    empty = np.zeros(0)
    return Bounds(
        np.concatenate([empty, *(b.step_s for b in parts)]),
        np.concatenate([empty, *(b.memory for b in parts)]),
    )


def _bounds(works: Works, splits: Splits, choices: Choices) -> Bounds:
    problem, architecture, own = works.problem, works.architecture, works.of(splits)
    ways = [_at(problem, splits, how) for how in _least_again(problem.setup.recompute)]
    steps = [_least_step(works, own, at, choices) for at in ways]
    whole = [_at(problem, splits, how) for how in _most_again(problem.setup.recompute)]
    memory = [_least_memory(problem, architecture, at) for at in whole]
    return Bounds(reduce(np.minimum, steps), reduce(np.minimum, memory))


def _least_again(ways: Sequence[str]) -> list[str]:
    """What may be computed again that takes least: nothing, else any part, else whole layers."""
    return ["none"] if "none" in ways else sorted({*ways} - {"full"}) or ["full"]


def _most_again(ways: Sequence[str]) -> list[str]:
    """What may be computed again that leaves least: whole layers, else any part, else nothing."""
    return ["full"] if "full" in ways else sorted({*ways} - {"none"}) or ["none"]


def _least_step(works: Works, own: Work, at: Layout, choices: Choices) -> Number:
    """Seconds of a step at least, of some splits and what is computed again."""
    problem, architecture, chip = works.problem, works.architecture, works.chip
    held = rank_parameters(architecture, at)
    sharded = replace(at, zero_stage=1, zero_group=at.replicas)
    never_hidden = ENGINES[problem.setup.engine].data_exposed if problem.setup.overlap else 1.0
    tensor, expert, context = _least_messages(problem, own, at, chip)
    parts = Parts(
        computing=passes(own, at),
        tensor=tensor,
        expert=expert,
        context=context,
        head=head_of(own.head),
        waiting=choices.least_bubble,
        boundary=_least_boundary_s(own, at, chip),
        each=0.0,
        once=never_hidden * messages.least_sum_s(held, at, chip),
        optimizer=optimizer_s(held, sharded, chip),
    )
    turns = equal_turns(architecture.n_layers, at, parts.layers, parts.head)
    return added_up(at, parts, turns).total


def _least_messages(
    problem: TrainingProblem, own: Work, at: Layout, chip: Chip
) -> tuple[Number, Number, Number]:
    """Messages of all layers for one microbatch, each at least; norms split or not, in every schedule."""
    schedules = {how == "dualpipe" for how in problem.setup.schedule}
    ways = [
        layer_messages(own, replace(at, sequence_parallel=sequence, dualpipe=int(dual)), chip)
        for sequence, dual in product(set(problem.setup.sequence_parallel), schedules)
    ]
    tensor, expert, context = (np.minimum.reduce(same) for same in zip(*ways, strict=True))
    return tensor, expert, context


def _layers_s(problem: TrainingProblem, own: Work, at: Layout, chip: Chip) -> Number:
    """Seconds of all layers for one microbatch at least: computing, and messages that nothing hides."""
    return passes(own, at).total + sum(_least_messages(problem, own, at, chip))


def _at(problem: TrainingProblem, splits: Splits, again: str) -> Layout:
    """The splits with something computed again."""
    columns = {f.name: getattr(splits, f.name) for f in fields(splits)}
    return layout(
        problem,
        **columns,
        sequence_parallel=splits.tensor_parallel > 1,
        **AGAIN[again],
    )


def _least_boundary_s(own: Work, at: Layout, chip: Chip) -> Number:
    ways = [messages.boundary_s(own, replace(at, pipeline_interleave=v), chip) for v in (1, 2)]
    ways.append(messages.boundary_s(own, replace(at, dualpipe=1), chip))
    return reduce(np.minimum, ways)


def _least_memory(problem: TrainingProblem, architecture: Architecture, at: Layout) -> Number:
    smallest = replace(at, zero_stage=max(problem.setup.zero_stage), zero_group=at.replicas)
    parts = training_memory(architecture, smallest)
    return parts.total - parts.buffers
