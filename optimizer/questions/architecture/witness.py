"""A second look at what a finished search left out on the word of a bound: is it below the plans there?

Frames that were never opened are priced without their floor: all of them where they are few, else a seeded
sample. In each, and in a sample of the frames that were opened, slices are enumerated: those that could hold
something better, the most promising one, one of the others and one that its bounds call empty, drawn by seed.
A bound above a plan, or a plan better than the answer, is an InternalMismatch.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from optimizer.errors import InternalMismatch
from optimizer.questions.architecture.answer import FrameWitnesses
from optimizer.questions.architecture.cells import is_below
from optimizer.questions.architecture.enumeration import in_parameter_window, slice_plans
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.slice_search import require_bound
from optimizer.questions.architecture.table import FrameTable
from optimizer.watch import Stopped

FEW = 256
"""Frames of a problem with a plan that are all priced again; half a second or so."""
FEW_WITHOUT_PLAN = 2_000
"""The same where there is no plan: nothing else speaks for that."""
SAMPLE = 48
"""Frames priced again where they are more."""
_DRAWS = 8
"""Times as many frames drawn at most: of most the rules leave nothing."""
_EMPTY, _EMPTY_OPENED = 4, 16
"""Slices looked into of a frame that the bounds of its slices call empty; more where its floor was low."""


@dataclass
class _Counts:
    frames: int = 0
    alive: int = 0
    slices: int = 0
    plans: int = 0


def look_again(search: Search, few: int = FEW, sample: int = SAMPLE, seed: int = 0) -> FrameWitnesses:
    """Check the bounds of a finished search; fewer of them if the watch ends it, which the answer says."""
    look = _Look(search, seed)
    n = search.space.n_frames
    every = n <= few
    try:
        look.opened(sample)
        look.left_out(_left_out(search, every, sample, seed), None if every else sample)
    except Stopped:
        every = False
    c, left_out = look.counts, n - len(search.cells.priced_at)
    return FrameWitnesses(
        frames_left_out=left_out,
        frames_priced=c.frames,
        all_frames=every,
        slices_enumerated=c.slices,
        plans=c.plans,
        seed=seed,
    )


def _left_out(search: Search, every: bool, sample: int, seed: int) -> Iterator[int]:
    n = search.space.n_frames
    numbers = range(n) if every else random.Random(seed).sample(range(n), min(n, _DRAWS * sample))
    return (number for number in numbers if number not in search.cells.priced_at)


class _Look:
    """One second look in the making."""

    def __init__(self, search: Search, seed: int) -> None:
        self.search, self.cells = search, search.cells
        self.draw = random.Random(seed)
        self.counts = _Counts()
        self.solved = {(cell.frame_number, cell.n_layers) for cell, _ in search.solved}
        self.key = search.hunt.best.key if search.hunt.best else np.inf

    def left_out(self, numbers: Iterable[int], most: int | None) -> None:
        """Price frames that were never opened; no more than `most` in which the rules leave anything."""
        for number in numbers:
            if most is not None and self.counts.alive >= most:
                break
            self.search.watch.check()
            self.counts.alive += self._frame(number, self.cells.left_out_by(number))
            self.counts.frames += 1

    def opened(self, sample: int) -> None:
        """Look into slices that were left out of frames that were opened."""
        numbers = sorted(self.cells.priced_at)
        for number in self.draw.sample(numbers, min(sample, len(numbers))):
            self.search.watch.check()
            self._frame(number, self.cells.priced_at[number])

    def _frame(self, number: int, floor: float) -> bool:
        alive = False
        for table, bounds in self.cells.priced(number):
            alive = True
            for row in self._rows(number, table, bounds.key):
                plans = slice_plans(
                    table, row, self.search.objective, self.search.sense, watch=self.search.watch
                )
                self.counts.slices += 1
                self.counts.plans += plans.enumerated
                require_bound(float(bounds.key[row]), plans.best, table, row)
                self._require(number, floor, plans.best)
        return alive

    def _rows(self, number: int, table: FrameTable, key: np.ndarray) -> list[int]:
        """Slices to enumerate, ascending: what was solved is known already."""
        rows = [i for i, n in enumerate(table.depths) if (number, int(n)) not in self.solved]
        found = [i for i in rows if key[i] < self.key]
        some = [i for i in rows if np.isfinite(key[i])]
        within = in_parameter_window(table)
        none = [i for i in rows if not np.isfinite(key[i]) and within[i]]
        if some:
            found += [min(some, key=lambda i: (key[i], i)), self.draw.choice(some)]
        looks = 1 if some else _EMPTY_OPENED if number in self.cells.priced_at else _EMPTY
        found += self.draw.sample(none, min(len(none), looks))
        return sorted(set(found))

    def _require(self, number: int, floor: float, best: float) -> None:
        """No plan below the floor of its frame, none better than the answer that did without the frame."""
        where = f"frame {number} (d_model {self.search.space.frame(number).d_model})"
        if np.isinf(self.key) and best < np.inf:
            raise InternalMismatch(
                f"{where}: the floors rule out every frame, but a plan was found without them; "
                "no answer is given"
            )
        if is_below(best, floor):
            raise InternalMismatch(
                f"{where}: its floor {floor:.9g} is above a plan in it, {best:.9g}; no answer is given"
            )
        if is_below(best, self.key):
            raise InternalMismatch(
                f"{where}: a plan in it, {best:.9g}, is better than the answer, {self.key:.9g}; "
                "no answer is given"
            )
