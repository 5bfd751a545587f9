"""One slice, solved twice: by CP-SAT, and by the enumeration in numpy that must name the same optimum.

1. Enumerate the slice's plans in numpy. Drop the kinds that are in no plan as good as the best of them,
   and leave the rest to CP-SAT, which is not told that plan.
2. It solves, its answer is re-ranked by the float model, everything not better is cut off, and it solves
   again until it says there is nothing left: that is the enumeration of the rounding band. Plans that the
   enumeration knows to be equal to CP-SAT's are cut off with it.
3. The two must name the same optimum, or no plan. Disagreement is an error, never an answer.
"""

from dataclasses import dataclass, field, fields
from typing import NoReturn

import numpy as np

from optimizer.blocks.operators import Gemm
from optimizer.cost.frame import Frame
from optimizer.cost.quantisation import gemm_efficiency
from optimizer.cost.quantities import layer_operators
from optimizer.errors import InternalMismatch
from optimizer.questions.architecture.bounds import DepthBounds
from optimizer.questions.architecture.cells import Part, SliceCell, is_below
from optimizer.questions.architecture.enumeration import SlicePlans, blocks, slice_plans
from optimizer.questions.architecture.slice_model import SliceModel
from optimizer.questions.architecture.space import Space
from optimizer.questions.architecture.table import FrameTable
from optimizer.scope import Symbol
from optimizer.search.cells import BestFirst
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.watch import UNWATCHED, Watch

_CLOSE = 1e-12
_BAND = 1e-6
"""Plans this close may be equal in a model's integers, which have at least a million steps."""
_WIDE_BAND = 1e-5
"""Plans this close above the limit are enumerated too: more than the band, at every scale."""
_KINDS = 8
"""Kinds of each half of a layer that CP-SAT is given at least, where there are as many."""


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


@dataclass
class SliceSearch:
    """Looks through slices for plans that are better than the best so far."""

    space: Space
    objective: Symbol
    sense: int
    hunt: BestFirst[Part, Candidate]
    counts: Counts = field(default_factory=Counts)
    watch: Watch = UNWATCHED
    any_plan: bool = False
    """The first plan is enough."""
    settings: SolveSettings = SolveSettings()

    @property
    def _limit(self) -> float:
        return self.hunt.limit[0]

    def look(self, cell: SliceCell) -> SlicePlans:
        """Take what a slice holds that is better; its plans up to just above the limit. May be Stopped."""
        table, row = cell.table, cell.row
        plans = slice_plans(table, row, self.objective, self.sense, _wanted(self._limit), self.watch)
        require_bound(cell.bound, plans.best, table, row)
        truth = plans.best if plans.best < self._limit else np.inf
        attention, ffn = self._kinds_left(table, cell.bounds, row, truth)
        if len(attention) and len(ffn):
            self._solve(cell, plans, truth, attention, ffn)
        return plans

    def _solve(
        self, cell: SliceCell, plans: SlicePlans, truth: float, attention: np.ndarray, ffn: np.ndarray
    ) -> None:
        table, row = cell.table, cell.row
        self.counts.frames_solved.add(cell.frame_number)
        self.counts.slices_solved += 1
        self.counts.columns += len(attention) + len(ffn)
        found = self._solve_by_cp_sat(table, row, plans, attention, ffn)
        self._confirm(table, row, plans, truth, found)

    def _kinds_left(
        self, table: FrameTable, bounds: DepthBounds, row: int, truth: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Kinds that may be in a plan better than the incumbent; few others once better plans are known."""
        beaten = self._limit
        attention = np.flatnonzero(bounds.by_attention[row] < beaten)
        by_attention = np.full(len(attention), np.inf)
        by_ffn = np.full(len(table.rules.ffn), np.inf)
        for block in blocks(len(attention), len(by_ffn)):
            self.watch.check()
            key = self._keys(table, bounds, row, attention[block])
            key[key >= beaten] = np.inf
            by_attention[block] = key.min(axis=1, initial=np.inf)
            by_ffn = np.minimum(by_ffn, key.min(axis=0, initial=np.inf))
        own = truth + abs(truth) * _CLOSE
        return attention[_as_good(by_attention, own)], _as_good(by_ffn, own)

    def _keys(self, table: FrameTable, bounds: DepthBounds, row: int, attention: np.ndarray) -> np.ndarray:
        """sense x objective of some attention kinds with all feed-forward kinds; inf outside the window."""
        n = table.columns["n_params"]
        layers = int(table.depths[row])
        total = n.base + layers * (n.attention[attention][:, None] + n.ffn[None, :])
        slack = 1e-9 * np.abs(total)
        reach = (total >= bounds.low[row] - slack) & (total <= bounds.high[row] + slack)
        key = np.full(reach.shape, np.inf)
        q = table.columns[self.objective.quantity]
        a, f = np.nonzero(reach)
        value = q.base + layers * (q.attention[attention[a]] + q.ffn[f])
        key[a, f] = self.sense * np.asarray(self.objective.value(table.at(layers), value), dtype=float)
        return key

    def _solve_by_cp_sat(
        self, table: FrameTable, row: int, plans: SlicePlans, attention: np.ndarray, ffn: np.ndarray
    ) -> float:
        """Best key CP-SAT finds in the slice below the incumbent, inf if it proves there is none."""
        n_layers = int(table.depths[row])
        model = SliceModel(table, int(table.rules.depths[row]), n_layers, attention, ffn)
        model.add_rules()
        model.minimise(self.objective, self.sense)
        best = np.inf
        while model.cut_off(self._limit):
            answer, choice = model.solve(self.settings, self.watch)
            self.counts.solves += 1
            self.counts.deterministic_time += answer.deterministic_time
            if answer.status == "unknown":
                self._give_up(table, n_layers)
            if choice is None:
                break
            a, f = int(attention[choice[0]]), int(ffn[choice[1]])
            key = plans.key_of(a, f)
            if key < self._limit:
                best = key
                self._forbid_known(model, plans, best, attention, ffn)
                self.hunt.take(self.candidate(table, n_layers, a, f, key))
            else:
                self.counts.band += 1
            if self.any_plan and self.hunt.best:
                break
            model.forbid(*choice)
        return best

    def _forbid_known(
        self, model: SliceModel, plans: SlicePlans, best: float, attention: np.ndarray, ffn: np.ndarray
    ) -> None:
        """Spare CP-SAT the plans that are equal to the best in integers and known to be no better."""
        band = (plans.key >= best) & (plans.key <= best + abs(best) * _BAND)
        kept_a = {int(kind): i for i, kind in enumerate(attention)}
        kept_f = {int(kind): i for i, kind in enumerate(ffn)}
        for a, f in zip(plans.attention[band], plans.ffn[band], strict=True):
            if int(a) in kept_a and int(f) in kept_f:
                model.forbid(kept_a[int(a)], kept_f[int(f)])

    def candidate(self, table: FrameTable, n_layers: int, a: int, f: int, key: float) -> Candidate:
        """The plan of rows `a` and `f` of a table's kinds at one depth."""
        kinds = int(table.rules.attention[a]), int(table.rules.ffn[f])
        return Candidate(self.objective.name, self.sense, key, table.frame, n_layers, *kinds)

    def _confirm(self, table: FrameTable, row: int, plans: SlicePlans, truth: float, found: float) -> None:
        """The enumeration in numpy has the same optimum, or no plan below the incumbent either."""
        if self.any_plan and self.hunt.best:
            return
        self.counts.enumerated += plans.enumerated
        if np.isfinite(truth) != np.isfinite(found) or (
            np.isfinite(truth) and abs(truth - found) > 1e-9 * abs(truth)
        ):
            raise InternalMismatch(
                f"slice d_model={table.frame.d_model}, n_layers={int(table.depths[row])}: CP-SAT found "
                f"{found:.9g}, enumeration {truth:.9g}; no answer is given"
            )
        if np.isfinite(found):
            self.hunt.best = self._tie_break(table, int(table.depths[row]), plans, found)

    def _tie_break(self, table: FrameTable, n_layers: int, plans: SlicePlans, best: float) -> Candidate:
        """Among plans with the same objective: the best tile efficiency, then the smallest dimensions."""
        equal = np.flatnonzero(plans.key <= best + abs(best) * _CLOSE)
        a, f = plans.attention[equal], plans.ffn[equal]
        rules = table.rules
        attention = self.space.attention.take(rules.attention[a])
        ffn = self.space.ffn.take(rules.ffn[f])
        score = np.broadcast_to(tile_efficiency(table.frame, attention, ffn), a.shape)
        dims = (ffn.d_ff, attention.n_kv_heads, attention.d_head, attention.n_heads)
        first = np.lexsort((*dims, -np.round(score, 9)))[0]
        key = float(plans.key[equal[first]])
        return self.candidate(table, n_layers, int(a[first]), int(f[first]), key)

    def _give_up(self, table: FrameTable, n_layers: int) -> NoReturn:
        self.watch.check()
        raise InternalMismatch(
            f"slice d_model={table.frame.d_model}, n_layers={n_layers}: CP-SAT's answers with and without "
            "presolve differ and a third does not settle it; no answer is given"
        )


def _wanted(limit: float) -> float:
    """The limit and the band above it in which CP-SAT's integers may not tell plans apart."""
    return limit + abs(limit) * _WIDE_BAND if np.isfinite(limit) else np.inf


def require_bound(bound: float, best: float, table: FrameTable, row: int) -> None:
    """InternalMismatch if a bound lies above a plan that it is a bound of: then it may have hidden others."""
    if is_below(best, bound):
        raise InternalMismatch(
            f"slice d_model={table.frame.d_model}, n_layers={int(table.depths[row])}: its bound {bound:.9g} "
            f"is above a plan in it, {best:.9g}; no answer is given"
        )


def _as_good(best: np.ndarray, limit: float) -> np.ndarray:
    """Kinds whose best key is within the limit, and the next best up to a few.

    CP-SAT is to choose among plans, not to be led to one.
    """
    order = np.argsort(best, kind="stable")
    kept = max(int(np.count_nonzero(best <= limit)), _KINDS)
    return np.sort(order[:kept][np.isfinite(best[order[:kept]])])


def tile_efficiency(frame: Frame, attention: object, ffn: object) -> np.ndarray:
    """Share of useful arithmetic in a prefill's products after tile and wave quantisation."""
    operators = [
        *layer_operators(frame, attention, "prefill"),
        *layer_operators(frame, ffn, "prefill"),
    ]
    products = [op for op in operators if isinstance(op, Gemm)]
    return np.asarray(gemm_efficiency(products, frame.chip))
