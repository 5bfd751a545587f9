"""The lattice of a training problem in cells (some degrees held), each opened into splits with their bounds.

A wide lattice is never built whole: a cell is opened when its turn comes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from optimizer.cost.training.flops import forward_flops
from optimizer.cost.training.memory import rank_parameters, training_memory
from optimizer.cost.training.rules import facts_of
from optimizer.cost.training.step import step_times
from optimizer.errors import InternalMismatch
from optimizer.questions.training.bounds import ChipSeconds, Works, bounds_of
from optimizer.questions.training.choices import Choices, Inner, with_inner
from optimizer.questions.training.problem import TrainingProblem
from optimizer.questions.training.splits import Domains, Splits, splits_of
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.watch import UNWATCHED, Watch

Measure = Callable[[Any, Any, Any], Any]
"""(step seconds, chips, bytes on a chip) to a number that grows with the first and the last."""
_SAME = 1e-9
_CELL = 200_000
"""Splits of a cell at most, where degrees can be held: a few tenths of a second of bounds."""


class Cell:
    """Some of a lattice's splits; opened, with their bounds."""

    def __init__(self, lattice: "Lattice", domains: Domains) -> None:
        self.lattice, self.domains = lattice, domains
        self.chip_seconds = 0.0
        """Of a step, at least; 0 until the lattice has worked it out."""
        self.splits: Splits | None = None

    def open(self, watch: Watch = UNWATCHED) -> "Cell":
        """Work out splits and bounds, once; splits without a setting that keeps the rules are left out."""
        if self.splits is None:
            own = self.lattice
            splits = splits_of(own.problem, own.facts, self.domains, own.chips)
            watch.check()
            choices = Choices.of(own.problem, own.facts, splits)
            counts = choices.count()
            rows = np.flatnonzero(counts)
            splits, self.choices = splits.take(rows), choices.take(rows)
            self.bounds = bounds_of(own.works, splits, self.choices, watch)
            self.n_settings, self.n_chips, self.splits = int(counts.sum()), splits.n_chips, splits
        return self

    def __len__(self) -> int:
        return 0 if self.splits is None else len(self.splits)

    def split(self, i: int) -> dict[str, int]:
        """The degrees and the microbatch of one split."""
        if self.splits is None:
            raise ValueError("the cell is not open")
        return self.splits.row(i)

    def priced(self, i: int) -> tuple[Inner, Any, Any]:
        """(settings, step seconds, bytes on a chip) of one split.

        Raises InternalMismatch if any is below the bounds that would have ruled the split out.
        """
        own, split = self.lattice, self.split(i)
        inner = self.choices.inner(i)
        at = with_inner(own.problem, split, inner)
        rows = Splits(*(np.array([value]) for value in split.values()))
        held, size = rank_parameters(own.architecture, at), (len(inner),)
        times = step_times(own.architecture.n_layers, own.chip, at, own.works.of(rows), held)
        step_s = np.broadcast_to(times.total, size)
        memory = np.broadcast_to(training_memory(own.architecture, at).total, size)
        for what, bound, values in (
            ("step", self.bounds.step_s[i], step_s),
            ("memory", self.bounds.memory[i], memory),
            ("step", self.chip_seconds / self.n_chips[i], step_s),
            ("step", own.flops_s / self.n_chips[i], step_s),
        ):
            if values.min() < bound * (1 - _SAME):
                raise InternalMismatch(
                    f"split {split}: a setting's {what} of {values.min():.9g} is below the bound "
                    f"{bound:.9g} that could have ruled it out; no answer is given"
                )
        return inner, step_s, memory


class Lattice:
    """The cells of a problem; many searches may use one."""

    def __init__(self, problem: TrainingProblem, architecture: Architecture, chip: Chip, chips: int) -> None:
        self.problem, self.architecture, self.chip, self.chips = problem, architecture, chip, chips
        self.facts = facts_of(architecture, chip)
        self.works = Works(problem, architecture, chip)
        self.domains = Domains.of(problem, self.facts, chips)
        self.cells = [Cell(self, part) for part in _cut(self.domains)]
        self.bounded = False
        tokens = problem.global_batch * problem.sequence_length
        flops = forward_flops(architecture, problem.sequence_length).model(causal=True)
        self.flops_s = flops * tokens / max(chip.dense_flops.values())
        """Chip-seconds of a step at the peak: what is known before any layer is priced."""

    def bound_cells(self, watch: Watch) -> None:
        """Work out the chip-seconds of every cell, once. Raises Stopped."""
        if not self.bounded:
            reach = min(self.chips, self.facts.reach)
            least = ChipSeconds(self.works, self.domains, reach, watch)
            for cell in self.cells:
                cell.chip_seconds = least.of(cell.domains)
            self.bounded = True

    def least(self, chip_seconds: float, score: Measure) -> float:
        """No setting with so many chip-seconds or more has a score below this."""
        n = np.arange(1, self.chips + 1)
        return float(np.min(score(chip_seconds / n, n, 0.0)))

    @property
    def likely(self) -> Cell | None:
        """A cell that probably has a setting: as many ranks as fill a domain, one part of each sequence."""

        def fills(cell: Cell) -> tuple[int, ...]:
            inside = [t for t in cell.domains.tensor_parallel if t <= self.chip.scaleup.domain]
            return -max(inside, default=0), min(cell.domains.context_parallel), min(cell.domains.microbatch)

        cells = [cell for cell in self.cells if cell.domains.size]
        return min(cells, key=fills, default=None)


def _cut(domains: Domains) -> list[Domains]:
    """Domains cut until each part is small enough, or cannot be cut."""
    if domains.size <= _CELL:
        return [domains]
    parts = domains.parts()
    return parts if len(parts) == 1 else [small for part in parts for small in _cut(part)]
