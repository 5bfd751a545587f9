"""The best split of layers over stages among all structures and batches, best bound first.

A structure says of each group of chips how it is cut into stages, and how many of them are in use. Its bound
is the work of all layers shared out as evenly as can be, by the times that price its plans, with the host and
without what else is outside the layers; a structure whose bound is no better than the best plan is never
opened. What was opened must keep its bound, and of the rest a sample is priced: a bound that was too high is
an InternalMismatch, never an answer.
"""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optimizer.columns.supply import Supply
from optimizer.errors import InputError, InternalMismatch
from optimizer.questions.pipeline.columns import StageCosts, StagePrices, Ways, setups_of, ways_of
from optimizer.questions.pipeline.problem import PipelineProblem
from optimizer.questions.pipeline.programme import Cut, slowest_stage
from optimizer.solver.engine import SolveSettings
from optimizer.solver.milp import Proved
from optimizer.spec.architecture import Architecture
from optimizer.watch import Progress, Stopped, Watch

_TICKS = 1e12
"""Times are whole picoseconds, rounded up."""
_MOST_STRUCTURES = 200_000
_SAMPLE = 64
_SAME = 1e-9

Bounds = Mapping[str, float | None]
"""Limits of the problem, and `output_tokens_per_s_min`."""
Within = Mapping[str, tuple[object, ...]]
"""Choices, `batch` or the ways of a group by `group_name`, and the values that are left of each."""


NOTHING: Within = {}


def group_name(group: int) -> str:
    """The choice of how a group of chips is cut into stages, counted from 0."""
    return f"stages.{group + 1}"


def way_in_words(way: tuple[int, int]) -> str:
    """A way to cut a group: how many stages of how many chips."""
    chips, stages = way
    return f"{stages} x tp{chips}" if stages else "idle"


@dataclass(frozen=True)
class Found:
    """A split of one structure at one batch."""

    costs: StageCosts
    counts: list[list[int]]
    """Kinds by stages."""
    proved: Proved | None = None
    ways: Ways = ()
    """How each group of chips is cut."""

    @property
    def groups(self) -> tuple[int, ...]:
        """The group of each stage, counted from 1."""
        return tuple(g for g, (_, stages) in enumerate(self.ways, 1) for _ in range(stages))

    def stage_s(self, s: int) -> float:
        """Seconds of one stage's layers in the steady state."""
        return sum(row[s] * n[s] for row, n in zip(self.costs.time_s, self.counts, strict=True))

    def memory(self, s: int) -> float:
        """Bytes on each chip of one stage."""
        c = self.costs
        return c.base_memory[s] + sum(m[s] * n[s] for m, n in zip(c.memory, self.counts, strict=True))

    @property
    def slowest_s(self) -> float:
        """Seconds of the slowest stage's layers."""
        return max(map(self.stage_s, range(self.costs.stages)))

    @property
    def tpot_s(self) -> float:
        """Seconds of a round of turns."""
        return self.costs.fixed_s + self.costs.stages * self.slowest_s

    @property
    def ttft_s(self) -> float:
        """Half a round of waiting, then a prompt through every stage."""
        c = self.costs
        prompts = [
            sum(row[s] * n[s] for row, n in zip(c.prompt_s, self.counts, strict=True))
            for s in range(c.stages)
        ]
        return self.tpot_s / 2 + c.prompt_fixed_s + c.stages * max(prompts)

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.costs.stages * self.costs.batch / self.tpot_s

    def fits(self, share: float | None) -> bool:
        """Whether every stage keeps within a share of its chips' memory."""
        chips = (setup.chip.hbm_usable for setup in self.costs.setups)
        return share is None or all(self.memory(s) <= share * usable for s, usable in enumerate(chips))


@dataclass(frozen=True)
class Outcome:
    """The best split found, the bound on all others' objective, and whether nothing is left to look at."""

    best: Found | None
    bound: float | None
    """Of the objective, in its unit; None where nothing is known."""
    proven: bool
    opened: int
    """Structures whose plans were looked at."""
    sampled: int
    """Structures among the others of which one plan was priced."""


@dataclass
class StageSearch:
    """All structures of a problem, bounded at once, and the search through them."""

    model: Architecture
    problem: PipelineProblem
    supplies: Sequence[Supply]
    settings: SolveSettings
    watch: Watch
    solves: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    whole_groups: bool = False
    """Whether groups are used whole or not at all: there were too many structures else."""

    def __post_init__(self) -> None:
        self.prices = StagePrices(self.model, self.problem)
        self.counts = [group.count for group in self.model.layers]
        self.ways = self._all_ways()
        shape = tuple(map(len, self.ways))
        places = np.indices(shape).reshape(len(shape), -1)
        stages = sum(np.array([n for _, n in w])[at] for w, at in zip(self.ways, places, strict=True))
        keep = (stages >= 1) & (stages <= self.model.n_layers)
        self.places, self.stages = places[:, keep], np.asarray(stages)[keep]
        if not len(self.stages):
            reasons = "; ".join(f"{why} ({n})" for why, n in self.dropped.most_common(4))
            raise InputError(f"pipeline: no structure can run {self.model.name}: {reasons or 'no divisor'}")
        self._floors = [self._least_rounds(batch) for batch in self.problem.deployment.batch]

    @property
    def structures(self) -> int:
        """Structures at all their batches."""
        return len(self.stages) * len(self.problem.deployment.batch)

    def _all_ways(self) -> list[list[tuple[int, int]]]:
        """The ways to use each group that can run the model."""
        found = []
        for group, supply in zip(self.problem.pipeline.stages, self.supplies, strict=True):
            runs = []
            for t, n in ways_of(group, supply):
                why = self._why_not(supply, t) if n else ""
                if why:
                    self.dropped[why] += 1
                elif n <= self.model.n_layers:
                    runs.append((t, n))
            found.append(runs)
        if math.prod(map(len, found)) > _MOST_STRUCTURES:
            self.whole_groups = True
            found = [
                [(t, n) for t, n in ways if n in (0, group.chips // t)]
                for group, ways in zip(self.problem.pipeline.stages, found, strict=True)
            ]
        if (n := math.prod(map(len, found))) > _MOST_STRUCTURES:
            raise InputError(
                f"pipeline: {n} ways to cut its groups into stages; give fewer tensor_parallel to each"
            )
        return found

    def _why_not(self, supply: Supply, t: int) -> str:
        [setup] = setups_of(self.problem, [supply], ((t, 1),))
        return self.prices.why_not(setup)

    def _least_rounds(self, batch: int) -> Any:
        """Seconds of a round of every structure, at least: shape (structures,)."""
        total, hosts = sum(self.counts), list[float]()
        shares: list[list[float]] = []
        speeds: list[list[float]] = []
        for supply, ways in zip(self.supplies, self.ways, strict=True):
            speeds.append([])
            for t, n in ways:
                if not n:
                    speeds[-1].append(0.0)
                    continue
                [setup] = setups_of(self.problem, [supply], ((t, 1),))
                times = self.prices.layer_s(setup, batch)
                mean = sum(c * x for c, x in zip(self.counts, times, strict=True)) / total
                speeds[-1].append(n / mean)
                shares.append([x / mean for x in times])
                hosts.append(self.prices.host_s(setup, batch))
        work = sum(c * min(column) for c, column in zip(self.counts, zip(*shares, strict=True), strict=True))
        speed = sum(np.array(v)[at] for v, at in zip(speeds, self.places, strict=True))
        return min(hosts) + self.stages * (work / np.asarray(speed))

    def _bounds(self, bounds: Bounds, tpot: bool, within: Within) -> tuple[Any, Any, Any]:
        """(key at least, structure, batch) of all that may keep the bounds, best first."""
        keys, batches = [], self.problem.deployment.batch
        left = self._left(within)
        for batch, rounds in zip(batches, self._floors, strict=True):
            key = 1e3 * rounds if tpot else -self.stages * batch / rounds
            out = ~left if batch in within.get("batch", (batch,)) else np.ones(len(rounds), bool)
            if (limit := self._round_ms(bounds, batch)) is not None:
                out |= 1e3 * rounds > limit * (1 + _SAME)
            keys.append(np.where(out, np.inf, key))
        table = np.array(keys)
        order = np.argsort(table, axis=None, kind="stable")
        order = order[: int(np.isfinite(table).sum())]
        which, structure = np.unravel_index(order, table.shape)
        return table[which, structure], structure, which

    def _left(self, within: Within) -> Any:
        """Structures whose groups are cut in one of the ways that are left."""
        left = np.ones(len(self.stages), dtype=bool)
        for group, (ways, places) in enumerate(zip(self.ways, self.places, strict=True)):
            if (values := within.get(group_name(group))) is not None:
                left &= np.array([way_in_words(way) in values for way in ways])[places]
        return left

    def _round_ms(self, bounds: Bounds, batch: int) -> Any:
        """The longest round that bounds on a token's time and on the rate leave each structure; None: any."""
        limit, rate = bounds.get("tpot_ms_max"), bounds.get("output_tokens_per_s_min")
        if rate is None:
            return limit
        longest = 1e3 * self.stages * batch / rate
        return longest if limit is None else np.minimum(longest, limit)

    def best(self, bounds: Bounds, tpot: bool | None = None, within: Within = NOTHING) -> Outcome:
        """The best split over all structures and batches under these bounds; `tpot` is the problem's goal.

        When the watch is over, the best split so far and the bound of what was not looked at.
        """
        tpot = self.problem.maximize is None if tpot is None else tpot
        sign = 1 if tpot else -1
        best: Found | None = None
        open_bounds: list[float] = []
        sampled = at = 0
        keys, structures, batches = self._bounds(bounds, tpot, within)
        for at, (least, structure, which) in enumerate(zip(keys.tolist(), structures, batches, strict=True)):
            if best is not None and least >= _key(best, tpot):
                sampled = self._sample(structures[at:], batches[at:], tpot)
                break
            try:
                self.watch.check()
                found = self._opened(structure, self.problem.deployment.batch[which], bounds)
            except Stopped:
                open_bounds.append(least)
                break
            if found is None:
                continue
            if found.proved is None or found.proved.status != "optimal":
                open_bounds.append(least)
            if not found.counts:
                continue
            if _key(found, tpot) < least - _SAME * abs(least):
                raise InternalMismatch("a pipeline's bound is above its best split; no answer is given")
            if best is None or _key(found, tpot) < _key(best, tpot):
                best = found
                self._say(best, sign * least, tpot)
        else:
            at = len(keys)
        if open_bounds:
            return Outcome(best, sign * min(open_bounds), False, at, sampled)
        return Outcome(best, None if best is None else sign * _key(best, tpot), True, at, sampled)

    def _say(self, best: Found, bound: float, tpot: bool) -> None:
        name, unit = ("tpot_ms", "ms") if tpot else ("output_tokens_per_s", "tokens/s")
        value = abs(_key(best, tpot))
        self.watch.say(Progress("splits", name, unit, value, bound, more=True))

    def _opened(self, structure: int, batch: int, bounds: Bounds) -> Found | None:
        costs = self._priced(structure, batch)
        if isinstance(costs, str):
            self.dropped[costs] += 1
            return None
        found = self._split(costs, bounds)
        return None if found is None else replace(found, ways=self._ways(structure))

    def _priced(self, structure: int, batch: int) -> StageCosts | str:
        return self.prices.priced(setups_of(self.problem, self.supplies, self._ways(structure)), batch)

    def _ways(self, structure: int) -> Ways:
        places = self.places[:, structure].tolist()
        return tuple(ways[at] for ways, at in zip(self.ways, places, strict=True))

    def _sample(self, structures: Any, batches: Any, tpot: bool) -> int:
        """Price a seeded sample of what was not opened, layers spread by speed: none may beat its bound."""
        priced, everyone = 0, range(len(structures))
        for at in random.Random(self.settings.seed).sample(everyone, min(_SAMPLE, len(structures))):
            if self.watch.over:
                break
            batch = self.problem.deployment.batch[batches[at]]
            costs = self._priced(structures[at], batch)
            if isinstance(costs, str):
                continue
            priced += 1
            spread = Found(costs, spread_by_speed(costs, self.counts))
            rounds = self._floors[batches[at]][structures[at]]
            least = 1e3 * rounds if tpot else -costs.stages * batch / rounds
            if _key(spread, tpot) < least - _SAME * abs(least):
                raise InternalMismatch("a pipeline's bound is above a split of it; no answer is given")
        return priced

    def _split(self, costs: StageCosts, bounds: Bounds) -> Found | None:
        """The best split of one structure at one batch; None if none keeps the bounds."""
        share, p = bounds.get("memory_capacity"), costs.stages
        rooms = [
            math.floor(share * s.chip.hbm_usable - fixed) if share else 2**50
            for s, fixed in zip(costs.setups, costs.base_memory, strict=True)
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
            total=self.model.n_layers,
            most=most,
            path=path,
        )
        proved, counts = slowest_stage(question, self.settings, self.watch)
        self.solves += proved.solves
        return None if proved.status == "infeasible" else Found(costs, counts, proved)


def spread_by_speed(costs: StageCosts, counts: Sequence[int]) -> list[list[int]]:
    """A split that gives each stage layers by its speed, at least one to each; memory is not looked at."""
    left = [1.0 / max(sum(row[s] for row in costs.time_s), 1e-30) for s in range(costs.stages)]
    busy = [0.0] * costs.stages
    found = [[0] * costs.stages for _ in counts]
    empty = set(range(costs.stages))
    for k in sorted(range(len(counts)), key=lambda k: -sum(costs.time_s[k])):
        for _ in range(counts[k]):
            among = sorted(empty) or range(costs.stages)
            s = min(among, key=lambda s: (busy[s] + costs.time_s[k][s], -left[s]))
            busy[s] += costs.time_s[k][s]
            found[k][s] += 1
            empty.discard(s)
    return found


def evenly(counts: Sequence[int], stages: int) -> list[list[int]]:
    """As equal numbers of layers of each kind on each stage as can be; what is left over goes round."""
    found, at = [], 0
    for n in counts:
        row = [n // stages] * stages
        for i in range(n % stages):
            row[(at + i) % stages] += 1
        at += n % stages
        found.append(row)
    return found


def _key(found: Found, tpot: bool) -> float:
    return 1e3 * found.tpot_s if tpot else -found.rate


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
