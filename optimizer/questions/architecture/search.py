"""Best-first search over slices: bound what is next in order, solve slices in order of their bound.

1. Of a wide space, find a plan among a few round values first (`solver.early`).
2. Take the slice with the lowest bound (`solver.queue`). If it is not below the incumbent, that is optimal.
3. Enumerate the slice's plans in numpy. Drop the kinds that are in no plan as good as the best of them,
   and leave the rest to CP-SAT, which is not told that plan: it solves, its answer is re-ranked by the
   float model, everything not better is cut off, and it solves again until it says there is nothing
   left: that is the enumeration of the rounding band. Plans that the enumeration knows to be equal to
   CP-SAT's are cut off with it.
4. The two must name the same optimum, or no plan. Disagreement is an error, never an answer.
"""

from dataclasses import dataclass, field, fields, replace
from typing import NoReturn

import numpy as np

from optimizer.blocks.operators import Gemm
from optimizer.columns.rules import Rules
from optimizer.cost.frame import Frame
from optimizer.cost.quantisation import gemm_efficiency
from optimizer.cost.quantities import layer_operators
from optimizer.errors import InternalMismatch
from optimizer.questions.architecture.bounds import DepthBounds
from optimizer.questions.architecture.early import Coarse, coarse
from optimizer.questions.architecture.model import SliceModel
from optimizer.questions.architecture.oracle import SlicePlans, blocks, slice_plans
from optimizer.questions.architecture.queue import QueuedSlice, SliceQueue, is_below
from optimizer.questions.architecture.space import Space
from optimizer.questions.architecture.table import FrameTable
from optimizer.scope import Symbol
from optimizer.solver.engine import SolveSettings
from optimizer.watch import UNWATCHED, Progress, Stopped, Watch

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


@dataclass(frozen=True)
class Outcome:
    """The incumbent, the proven bound on sense x objective, and what it took."""

    best: Candidate | None
    bound: float
    finished: bool
    counts: Counts


@dataclass
class Search:
    """One search over a space under some rules for one objective."""

    space: Space
    rules: Rules
    objective: Symbol
    sense: int
    watch: Watch = UNWATCHED
    any_plan: bool = False
    """Stop at the first plan: the question is only whether there is one."""
    beat: float = np.inf
    """Only plans whose sense x objective is below this are wanted."""
    settings: SolveSettings = SolveSettings()
    also: tuple[str, ...] = ()
    """Further quantities that the tables of solved slices are to hold."""
    start: Candidate | None = None
    """A plan that keeps the rules: only what is better is looked for."""

    def run(self) -> Outcome:
        """Search to the end, or until the watch ends it (then with what was found)."""
        self.counts = Counts(frames=self.space.n_frames)
        self.best = self.start
        self.solved: list[tuple[QueuedSlice, SlicePlans]] = []
        self.queue = SliceQueue(self.space, self.rules, self.objective, self.sense, self.watch, self.also)
        self._at_hand = np.inf
        finished = True
        try:
            if self.space.wide and np.isinf(self._limit()):
                self._early()
            while not (self.any_plan and self.best):
                self._at_hand = np.inf
                queued = self.queue.pop(self._limit())
                if queued is None:
                    break
                self._at_hand = queued.bound
                self._solve_slice(queued)
        except Stopped:
            finished = False
        self.counts.slices += self.queue.slices_priced
        bound = self._key() if finished else self._bound()
        return Outcome(self.best, bound, finished, self.counts)

    def _bound(self) -> float:
        """No plan has a key below this: of what is queued, of the slice at hand, of the incumbent."""
        return min(self.queue.bound, self._at_hand, self._key())

    def _early(self) -> None:
        """A good plan of parts of the space, as a limit: any at first, then the best of every part."""
        for part in coarse(self.space):
            if self.best is None:
                self._take_part(part, any_plan=True)
            if not (self.any_plan and self.best):
                self._take_part(part, any_plan=self.any_plan)

    def _take_part(self, part: Coarse, any_plan: bool) -> None:
        quiet = replace(self.watch, tell=None)  # its bounds are of the part alone
        limit = self._limit()
        search = replace(self, space=part.space, any_plan=any_plan, beat=limit, also=(), watch=quiet)
        outcome = search.run()
        outcome.counts.frames_solved.clear()  # numbered otherwise
        self.counts.add(outcome.counts)
        if (best := outcome.best) is not None:
            kinds = int(part.attention[best.attention]), int(part.ffn[best.ffn])
            self.best = replace(best, attention=kinds[0], ffn=kinds[1])
            self._report()
        if not outcome.finished:
            raise Stopped

    def _key(self) -> float:
        return self.best.key if self.best else np.inf

    def _limit(self) -> float:
        """Keys at or above this cannot improve on the incumbent."""
        key = min(self._key(), self.beat)
        return key - abs(key) * _CLOSE if np.isfinite(key) else np.inf

    def _solve_slice(self, queued: QueuedSlice) -> None:
        table, row = queued.table, queued.row
        plans = slice_plans(table, row, self.objective, self.sense, _wanted(self._limit()), self.watch)
        require_bound(queued.bound, plans.best, table, row)
        self.solved.append((queued, plans))
        truth = plans.best if plans.best < self._limit() else np.inf
        attention, ffn = self._kinds_left(table, queued.bounds, row, truth)
        if not len(attention) or not len(ffn):
            return
        self.counts.frames_solved.add(queued.frame_number)
        self.counts.slices_solved += 1
        self.counts.columns += len(attention) + len(ffn)
        found = self._solve_by_cp_sat(table, row, plans, attention, ffn)
        self._confirm(table, row, plans, truth, found)

    def _kinds_left(
        self, table: FrameTable, bounds: DepthBounds, row: int, truth: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Kinds that may be in a plan better than the incumbent; few others once better plans are known."""
        beaten = self._limit()
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
        while model.cut_off(self._limit()):
            answer, choice = model.solve(self.settings, self.watch)
            self.counts.solves += 1
            self.counts.deterministic_time += answer.deterministic_time
            if answer.status == "unknown":
                self._give_up(table, n_layers)
            if choice is None:
                break
            a, f = int(attention[choice[0]]), int(ffn[choice[1]])
            key = plans.key_of(a, f)
            if key < self._limit():
                best = key
                self._forbid_known(model, plans, best, attention, ffn)
                self.best = self.candidate(table, n_layers, a, f, key)
                self._report()
            else:
                self.counts.band += 1
            if self.any_plan and self.best:
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
        if self.any_plan and self.best:
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
            self.best = self._tie_break(table, int(table.depths[row]), plans, found)

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

    def _report(self) -> None:
        if self.best:
            value, bound = self.sense * self.best.key, self.sense * self._bound()
            self.watch.say(Progress("search", self.objective.name, incumbent=value, bound=bound))


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
