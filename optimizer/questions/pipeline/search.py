"""The best split of layers over stages among all structures and batches, best bound first.

A structure (`structures.py`) whose bound is no better than the best plan is never opened. What was opened
must keep its bound, and of the rest a sample is priced: a bound that was too high is an InternalMismatch,
never an answer.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.errors import InternalMismatch
from optimizer.questions.pipeline.columns import StageCosts
from optimizer.questions.pipeline.cut import Found, spread_by_speed
from optimizer.questions.pipeline.programme import Cut, slowest_stage
from optimizer.questions.pipeline.structures import NOTHING, Bounds, Structures, Within
from optimizer.search.cells import NOTHING as NO_PLAN
from optimizer.search.cells import BestFirst, Cell, Cells, InOrder
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.watch import Progress, Watch

_TICKS = 1e12
"""Times are whole picoseconds, rounded up."""
_SAMPLE = 64
_SAME = 1e-9


@dataclass(frozen=True)
class Outcome:
    """The best split found, the bound on all others' objective, and whether nothing is left to look at."""

    best: Found | None
    bound: float | None
    """Of the objective, in its unit; None where nothing is known."""
    proven: bool
    opened: int
    """Structures whose plans were looked at."""
    sampled: int = 0
    """Structures among the others of which one plan was priced."""


@dataclass(frozen=True)
class _At:
    """One structure at one batch."""

    structure: int
    batch: int


@dataclass
class StageSearch:
    """The search through all structures of a problem."""

    structures: Structures
    settings: SolveSettings
    watch: Watch
    solves: int = 0

    def __post_init__(self) -> None:
        self.problem, self.counts = self.structures.problem, self.structures.counts

    def best(self, bounds: Bounds, tpot: bool | None = None, within: Within = NOTHING) -> Outcome:
        """The best split over all structures and batches under these bounds; `tpot` is the problem's goal.

        When the watch is over, the best split so far and the bound of what was not looked at.
        """
        tpot = self.problem.maximize is None if tpot is None else tpot
        keys, structures, which = self.structures.bounds(bounds, tpot, within)
        batches = np.array(self.problem.deployment.batch)[which]
        waiting: Cells[_At] = Cells(watch=self.watch)
        places = zip(keys.tolist(), structures.tolist(), batches.tolist(), strict=True)
        waiting.add(InOrder(Cell((key,), (), _At(*at)) for key, *at in places))
        hunt: BestFirst[_At, Found] = BestFirst(
            waiting,
            lambda found: (_key(found, tpot),),
            tell=lambda found, bound: self._say(found, bound, tpot),
        )
        finished = hunt.run(lambda cell: self._look(cell, hunt, bounds, tpot))
        sign = 1 if tpot else -1
        if not finished or hunt.apart < NO_PLAN[0]:
            return Outcome(hunt.best, sign * hunt.bound, False, hunt.looked)
        left = slice(hunt.looked, None)
        sampled = self._sample(keys[left], structures[left], batches[left], tpot)
        return Outcome(hunt.best, None if hunt.best is None else sign * hunt.key, True, hunt.looked, sampled)

    def _look(self, cell: Cell[_At], hunt: BestFirst[_At, Found], bounds: Bounds, tpot: bool) -> None:
        """Take the best split of one structure at one batch, if it is better; undecided, its bound stays."""
        [least] = cell.rank
        found = self._opened(cell.what.structure, cell.what.batch, bounds)
        if found is None:
            return
        if found.proved is None or found.proved.status != "optimal":
            hunt.apart = min(hunt.apart, least)
        if not found.counts:
            return
        _require_bound(least, found, tpot)
        if _key(found, tpot) < hunt.key:
            hunt.take(found)

    def _say(self, best: Found, bound: float, tpot: bool) -> None:
        name, unit = ("tpot_ms", "ms") if tpot else ("output_tokens_per_s", "tokens/s")
        value = abs(_key(best, tpot))
        self.watch.say(Progress("splits", name, unit, value, abs(bound), more=True))

    def _opened(self, structure: int, batch: int, bounds: Bounds) -> Found | None:
        costs = self._priced(structure, batch)
        if isinstance(costs, str):
            self.structures.dropped[costs] += 1
            return None
        found = self._split(costs, bounds)
        return None if found is None else replace(found, ways=self.structures.ways_of(structure))

    def _priced(self, structure: int, batch: int) -> StageCosts | str:
        own = self.structures
        ways = own.ways_of(structure)
        return own.prices.priced(own.prices.setups_of(own.supplies, ways), batch)

    def _sample(self, keys: Any, structures: Any, batches: Any, tpot: bool) -> int:
        """Price a seeded sample of what was not opened, layers spread by speed: none may beat its bound."""
        priced, everyone = 0, range(len(structures))
        for at in random.Random(self.settings.seed).sample(everyone, min(_SAMPLE, len(structures))):
            if self.watch.over:
                break
            costs = self._priced(int(structures[at]), int(batches[at]))
            if isinstance(costs, str):
                continue
            priced += 1
            _require_bound(float(keys[at]), Found(costs, spread_by_speed(costs, self.counts)), tpot)
        return priced

    def _split(self, costs: StageCosts, bounds: Bounds) -> Found | None:
        """The best split of one structure at one batch; None if none keeps the bounds."""
        share, p = bounds.get("memory_capacity"), costs.stages
        rooms = [
            math.floor(share * room - fixed) if share else 2**50
            for room, fixed in zip(costs.rooms, costs.base_memory, strict=True)
        ]
        if min(rooms) < 0 or not _room(costs, rooms, self.counts):
            return None
        most, path = None, None
        limits = [bounds.get("tpot_ms_max")]
        if rate := bounds.get("output_tokens_per_s_min"):
            limits.append(1e3 * p * costs.batch / rate)
        if limit := min((v for v in limits if v is not None), default=None):
            most = math.floor((limit / 1e3 - costs.fixed_s) / p * _TICKS)
        if limit := bounds.get("ttft_ms_max"):
            left = limit / 1e3 - costs.fixed_s / 2 - costs.prompt_fixed_s
            path = ([[_ticks(t) for t in row] for row in costs.prompt_s], math.floor(left / p * _TICKS))
        if (most is not None and most < 0) or (path is not None and path[1] < 0):
            return None
        question = Cut(
            time=[[_ticks(t) for t in row] for row in costs.time_s],
            memory=[[math.ceil(b) for b in row] for row in costs.memory],
            capacity=rooms,
            counts=self.counts,
            total=self.structures.model.n_layers,
            most=most,
            path=path,
        )
        proved, counts = slowest_stage(question, self.settings, self.watch)
        self.solves += proved.solves
        return None if proved.status == "infeasible" else Found(costs, counts, proved)


def _key(found: Found, tpot: bool) -> float:
    return 1e3 * found.tpot_s if tpot else -found.rate


def _require_bound(least: float, found: Found, tpot: bool) -> None:
    if _key(found, tpot) < least - _SAME * abs(least):
        raise InternalMismatch("a pipeline's bound is above a split of it; no answer is given")


def _room(costs: StageCosts, rooms: Sequence[int], counts: Sequence[int]) -> bool:
    """Whether memory may do at all.

    If a split keeps every room, weights w_s > 0 keep the sum of w_s times memory on each stage within the sum
    of w_s room_s, and so sum over k of count_k min over s of w_s memory_ks too; here w_s = 1 / mean_s.
    """
    total, stages = sum(counts), range(costs.stages)
    means = [sum(n * row[s] for n, row in zip(counts, costs.memory, strict=True)) / total for s in stages]
    if not all(means):
        return True
    need = sum(
        n * min(row[s] / means[s] for s in stages) for n, row in zip(counts, costs.memory, strict=True)
    )
    return need <= sum(room / mean for room, mean in zip(rooms, means, strict=True)) * (1 + _SAME)


def _ticks(seconds: float) -> int:
    return math.ceil(seconds * _TICKS)
