"""What a split can reach at best: a lower bound of its step and of its memory, for all splits at once.

Every part of the step is taken at its own optimum inside the split, as if the choices did not exclude each
other: nothing computed again, norms split over the sequence, the cheaper of the tensor-parallel messages, the
shortest bubble, messages hidden as far as they ever are, the optimizer sharded over all replicas. Memory
likewise: whole layers computed again, everything sharded over all replicas, no buffers. So no setting of the
split is below either, and a split whose bounds cannot win is ruled out unseen.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.columns.training_lattice import Splits, layout
from optimizer.cost.training import messages
from optimizer.cost.training.constants import ENGINES
from optimizer.cost.training.layout import Layout
from optimizer.cost.training.memory import rank_parameters, training_memory
from optimizer.cost.training.pipeline import bubble_stages, slowest_stage
from optimizer.cost.training.step import optimizer_s, passes
from optimizer.cost.training.work import Shape, Work, work
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.training_problem import TrainingProblem

_AT_ONCE = 100_000
_STRICTER = {"none": (0, 0), "selective": (1, 0), "full": (1, 1)}


@dataclass(frozen=True)
class WorkTable:
    """The work of every (tensor, context, expert) parallelism and microbatch of some splits."""

    keys: dict[tuple[int, int, int], int]
    microbatches: Any
    columns: dict[str, Any]

    def of(self, splits: Splits) -> Work:
        """One row of work for each split."""
        triples = np.column_stack([splits.tensor_parallel, splits.context_parallel, splits.expert_parallel])
        unique, inverse = np.unique(triples, axis=0, return_inverse=True)
        places = np.array([self.keys[(int(t), int(c), int(e))] for t, c, e in unique])
        rows = places[inverse.reshape(-1)] if len(places) else np.zeros(0, dtype=int)
        columns = np.searchsorted(self.microbatches, splits.microbatch)
        return Work(**{name: values[rows, columns] for name, values in self.columns.items()})


def work_table(problem: TrainingProblem, architecture: Architecture, chip: Chip, splits: Splits) -> WorkTable:
    """Price the operators of every distinct rank shape once."""
    triples = np.column_stack([splits.tensor_parallel, splits.context_parallel, splits.expert_parallel])
    keys = {(int(t), int(c), int(e)): i for i, (t, c, e) in enumerate(np.unique(triples, axis=0))}
    microbatches = np.unique(splits.microbatch)
    space = problem.setup
    found = [
        work(
            architecture,
            chip,
            Shape(
                t,
                c,
                e,
                microbatches,
                problem.sequence_length,
                space.dtype,
                space.flash_attention,
                space.engine,
            ),
        )
        for t, c, e in keys
    ]
    shape = (len(found), len(microbatches))
    columns = {
        f.name: np.array([np.broadcast_to(getattr(w, f.name), shape[1:]) for w in found]).reshape(shape)
        for f in fields(Work)
    }
    return WorkTable(keys, microbatches, columns)


@dataclass(frozen=True)
class Bounds:
    """Least seconds of a step, and least bytes on a chip, of each split."""

    step_s: Any
    memory: Any


def bounds_of(
    problem: TrainingProblem, architecture: Architecture, chip: Chip, splits: Splits, table: WorkTable
) -> Bounds:
    """The bounds of all splits, some at a time."""
    parts = [
        _bounds(problem, architecture, chip, splits.take(slice(i, i + _AT_ONCE)), table)
        for i in range(0, len(splits), _AT_ONCE)
    ]
    empty = np.zeros(0)
    return Bounds(
        np.concatenate([empty, *(b.step_s for b in parts)]),
        np.concatenate([empty, *(b.memory for b in parts)]),
    )


def _bounds(
    problem: TrainingProblem, architecture: Architecture, chip: Chip, splits: Splits, table: WorkTable
) -> Bounds:
    own = table.of(splits)
    at = _at(problem, splits)
    held = rank_parameters(architecture, at)
    n_layers = architecture.n_layers
    computing = passes(own, at)
    repeated = 2 + at.recompute_layers
    tensor = repeated * _least_tensor_s(problem, own, at, chip)
    expert = repeated * messages.expert_s(own, at, chip)
    context = messages.context_s(own, at, chip)
    layers = computing.forward + computing.backward + computing.again + tensor + expert + context
    head = 3 * own.head
    slowest = slowest_stage(n_layers, at, layers / n_layers, head)
    bubble = _least_bubble(problem, n_layers, at) * (layers + head) / at.pipeline_parallel
    summed = messages.sum_s(held, replace(at, zero_stage=1), chip)
    never_hidden = ENGINES[problem.setup.engine].data_exposed if problem.setup.overlap else 1.0
    sharded = replace(at, zero_stage=1, zero_group=at.replicas)
    step = (
        at.n_microbatches * slowest
        + bubble
        + _least_boundary_s(own, at, chip)
        + never_hidden * summed
        + optimizer_s(held, sharded, chip)
    )
    return Bounds(step, _least_memory(problem, architecture, at))


def _at(problem: TrainingProblem, splits: Splits) -> Layout:
    """The splits with the least that may be computed again."""
    attention, layers = min(_STRICTER[how] for how in problem.setup.recompute)
    columns = {f.name: getattr(splits, f.name) for f in fields(splits)}
    return layout(
        problem,
        **columns,
        sequence_parallel=splits.tensor_parallel > 1,
        recompute_attention=attention,
        recompute_layers=layers,
    )


def _least_tensor_s(problem: TrainingProblem, own: Work, at: Layout, chip: Chip) -> Number:
    ways = [
        messages.tensor_s(own, replace(at, sequence_parallel=sequence), chip)
        for sequence in set(problem.setup.sequence_parallel)
    ]
    return np.minimum.reduce(ways)


def _least_bubble(problem: TrainingProblem, n_layers: int, at: Layout) -> Number:
    """The shortest wait: most chunks where the microbatches fill them, or a zero-bubble schedule."""
    fills = at.n_microbatches % at.pipeline_parallel == 0
    most = np.where(fills, np.maximum(1, n_layers // at.pipeline_parallel), 1)
    chunks = bubble_stages(replace(at, pipeline_interleave=most))
    if "zero_bubble" not in problem.setup.schedule:
        return chunks
    return np.minimum(chunks, bubble_stages(replace(at, zero_bubble=1)))


def _least_boundary_s(own: Work, at: Layout, chip: Chip) -> Number:
    ways = [messages.boundary_s(own, replace(at, pipeline_interleave=v), chip) for v in (1, 2)]
    return np.minimum(*ways)


def _least_memory(problem: TrainingProblem, architecture: Architecture, at: Layout) -> Number:
    attention, layers = max(_STRICTER[how] for how in problem.setup.recompute)
    smallest = replace(
        at,
        recompute_attention=attention,
        recompute_layers=layers,
        zero_stage=max(problem.setup.zero_stage),
        zero_group=at.replicas,
    )
    parts = training_memory(architecture, smallest)
    return parts.total - parts.buffers
