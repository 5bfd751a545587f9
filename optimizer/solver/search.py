"""Best-first search over slices: bound all frames, solve slices in order of their bound, stop in time.

1. Bound every depth of every frame in numpy (`columns.bounds`).
2. Take the slice with the lowest bound. If it is not below the incumbent, the incumbent is optimal.
3. Drop the kinds that cannot beat the incumbent, solve the slice with CP-SAT, re-rank its answer by the
   float model, cut off everything not better and solve again until CP-SAT says there is nothing left:
   that is the enumeration of the rounding band.
4. Confirm the slice by enumerating its plans in numpy. Disagreement is an error, never an answer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import NoReturn

import numpy as np

from optimizer.blocks.operators import Gemm
from optimizer.columns.bounds import DepthBounds
from optimizer.columns.rules import Rules
from optimizer.columns.space import Space
from optimizer.columns.table import FrameTable
from optimizer.cost.frame import Frame
from optimizer.cost.quantisation import gemm_efficiency
from optimizer.cost.quantities import layer_operators
from optimizer.errors import InternalMismatch
from optimizer.scope import Symbol
from optimizer.solver.engine import SolveSettings
from optimizer.solver.model import SliceModel
from optimizer.solver.oracle import slice_plans
from optimizer.solver.queue import OutOfTime, QueuedSlice, SliceQueue

_CLOSE = 1e-12


@dataclass(frozen=True)
class Candidate:
    """One plan: its frame, depth, and rows of the space's attention and feed-forward kinds."""

    metric: str
    sense: int
    key: float
    """sense x metric, as the columns give it."""
    frame: Frame
    n_layers: int
    attention: int
    ffn: int


@dataclass
class Counts:
    """What the search did, for the certificate."""

    frames: int = 0
    slices: int = 0
    frames_solved: set[int] = field(default_factory=set)
    slices_solved: int = 0
    columns: int = 0
    solves: int = 0
    band: int = 0
    enumerated: int = 0
    deterministic_time: float = 0.0

    def add(self, other: "Counts") -> None:
        """Add another search over the same frames."""
        self.frames_solved |= other.frames_solved
        for item in fields(Counts):
            if item.name not in ("frames", "frames_solved"):
                total = getattr(self, item.name) + getattr(other, item.name)
                setattr(self, item.name, total)


@dataclass(frozen=True)
class Outcome:
    """The incumbent, the proven bound on sense x objective, and what it took."""

    best: Candidate | None
    bound: float
    finished: bool
    counts: Counts


Progress = Callable[[str], None]


@dataclass
class Search:
    """One search over a space under some rules for one objective."""

    space: Space
    rules: Rules
    objective: Symbol
    sense: int
    deadline: float | None = None
    any_plan: bool = False
    """Stop at the first plan: the question is only whether there is one."""
    floors: bool = True
    """See `SliceQueue`."""
    beat: float = np.inf
    """Only plans whose sense x objective is below this are wanted."""
    settings: SolveSettings = SolveSettings()
    progress: Progress | None = None

    def run(self) -> Outcome:
        """Search to the end, to the deadline, or until interrupted (then with what was found)."""
        self.counts = Counts(frames=self.space.n_frames)
        self.best: Candidate | None = None
        bound = -np.inf
        try:
            queue = SliceQueue(self.space, self.rules, self.objective, self.sense, self.floors, self.deadline)
            while not (self.any_plan and self.best):
                bound = queue.bound
                queued = queue.pop(self._limit())
                if queued is None:
                    break
                bound = queued.bound
                self._solve_slice(queued)
            self.counts.slices = queue.slices_priced
        except (KeyboardInterrupt, OutOfTime):
            return Outcome(self.best, min(bound, self._key()), False, self.counts)
        return Outcome(self.best, self._key(), True, self.counts)

    def _key(self) -> float:
        return self.best.key if self.best else np.inf

    def _limit(self) -> float:
        """Keys at or above this cannot improve on the incumbent."""
        key = min(self._key(), self.beat)
        return key - abs(key) * _CLOSE if np.isfinite(key) else np.inf

    def _left(self) -> float | None:
        return None if self.deadline is None else max(0.01, self.deadline - time.monotonic())

    def _solve_slice(self, queued: QueuedSlice) -> None:
        attention, ffn = self._kinds_left(queued.table, queued.bounds, queued.row)
        if not len(attention) or not len(ffn):
            return
        self.counts.frames_solved.add(queued.frame_number)
        self.counts.slices_solved += 1
        self.counts.columns += len(attention) + len(ffn)
        before = min(self._key(), self.beat)
        found = self._solve_by_cp_sat(queued.table, queued.row, queued.n_layers, attention, ffn)
        self._confirm(queued.table, queued.row, queued.n_layers, before, found)

    def _kinds_left(self, table: FrameTable, bounds: DepthBounds, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Kinds that may be in a plan better than the incumbent."""
        attention = np.flatnonzero(bounds.by_attention[row] < self._limit())
        n = table.columns["n_params"]
        layers = float(table.depths[row])
        total = n.base + layers * (n.attention[attention][:, None] + n.ffn[None, :])
        slack = 1e-9 * np.abs(total)
        reach = (total >= bounds.low[row] - slack) & (total <= bounds.high[row] + slack)
        if self.best and self.objective.rises is not None and self.objective.quantity != "n_params":
            q = table.columns[self.objective.quantity]
            value = q.base + layers * (q.attention[attention][:, None] + q.ffn[None, :])
            key = self.sense * np.asarray(self.objective.value(table.at(int(layers)), value))
            reach &= key < self._limit()
        return attention[reach.any(axis=1)], np.flatnonzero(reach.any(axis=0))

    def _solve_by_cp_sat(
        self, table: FrameTable, row: int, n_layers: int, attention: np.ndarray, ffn: np.ndarray
    ) -> float:
        """Best key CP-SAT finds in the slice below the incumbent, inf if it proves there is none."""
        model = SliceModel(table, int(table.rules.depths[row]), n_layers, attention, ffn)
        model.add_rules()
        model.minimise(self.objective, self.sense)
        plans = None
        best = np.inf
        while model.cut_off(self._limit()):
            answer, choice = model.solve(self.settings, self._left())
            self.counts.solves += 1
            self.counts.deterministic_time += answer.deterministic_time
            if answer.status == "unknown":
                self._give_up(table, n_layers)
            if choice is None:
                break
            plans = plans or slice_plans(table, row, self.objective, self.sense)
            a, f = int(attention[choice[0]]), int(ffn[choice[1]])
            key = float(plans.key[a, f])
            if key < self._limit():
                best = key
                rules = table.rules
                self.best = Candidate(
                    self.objective.name,
                    self.sense,
                    key,
                    table.frame,
                    n_layers,
                    int(rules.attention[a]),
                    int(rules.ffn[f]),
                )
                self._report()
            else:
                self.counts.band += 1
            if self.any_plan and self.best:
                break
            model.forbid(*choice)
        return best

    def _confirm(self, table: FrameTable, row: int, n_layers: int, before: float, found: float) -> None:
        """Enumerate the slice in numpy: the same optimum, or no plan below the incumbent."""
        if self.any_plan and self.best:
            return
        plans = slice_plans(table, row, self.objective, self.sense)
        self.counts.enumerated += plans.key.size
        close = abs(before) * _CLOSE if np.isfinite(before) else 0.0
        truth = plans.best if plans.best < before - close else np.inf
        if np.isfinite(truth) != np.isfinite(found) or (
            np.isfinite(truth) and abs(truth - found) > 1e-9 * abs(truth)
        ):
            raise InternalMismatch(
                f"slice d_model={table.frame.d_model}, n_layers={n_layers}: CP-SAT found {found:.9g}, "
                f"enumeration {truth:.9g}; no answer is given"
            )
        if np.isfinite(found):
            self.best = self._tie_break(table, row, n_layers, plans.key, found)

    def _tie_break(
        self, table: FrameTable, row: int, n_layers: int, key: np.ndarray, best: float
    ) -> Candidate:
        """Among plans with the same objective: the best tile efficiency, then the smallest dimensions."""
        a, f = np.nonzero(key <= best + abs(best) * _CLOSE)
        rules = table.rules
        attention, ffn = (
            self.space.attention.take(rules.attention[a]),
            self.space.ffn.take(rules.ffn[f]),
        )
        score = np.broadcast_to(tile_efficiency(table.frame, attention, ffn), a.shape)
        first = np.lexsort(
            (
                ffn.d_ff,
                attention.n_kv_heads,
                attention.d_head,
                attention.n_heads,
                -np.round(score, 9),
            )
        )[0]
        return replace(
            self.best or Candidate(self.objective.name, self.sense, best, table.frame, n_layers, 0, 0),
            key=float(key[a[first], f[first]]),
            attention=int(rules.attention[a[first]]),
            ffn=int(rules.ffn[f[first]]),
        )

    def _give_up(self, table: FrameTable, n_layers: int) -> NoReturn:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise OutOfTime
        raise InternalMismatch(
            f"slice d_model={table.frame.d_model}, n_layers={n_layers}: CP-SAT's answers with and without "
            "presolve differ and a third does not settle it; no answer is given"
        )

    def _report(self) -> None:
        if self.progress and self.best:
            self.progress(f"{self.objective.name} {self.sense * self.best.key:.6g}")


def tile_efficiency(frame: Frame, attention: object, ffn: object) -> np.ndarray:
    """Share of useful arithmetic in a prefill's products after tile and wave quantisation."""
    operators = [
        *layer_operators(frame, attention, "prefill"),
        *layer_operators(frame, ffn, "prefill"),
    ]
    products = [op for op in operators if isinstance(op, Gemm)]
    return np.asarray(gemm_efficiency(products, frame.chip))
