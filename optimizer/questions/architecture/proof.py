"""The searches of an architecture's objectives, one after the other, and why their answer can be believed."""

from dataclasses import dataclass, replace

from optimizer.columns.rules import split_bound
from optimizer.cost.frame import Slice
from optimizer.errors import InputError, InternalMismatch
from optimizer.metrics import of_architectures
from optimizer.plugins import plugins
from optimizer.questions.architecture.answer import FrameWitnesses
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.most_room import is_room, most_room
from optimizer.questions.architecture.search import Outcome, Search
from optimizer.questions.architecture.slice_search import Counts
from optimizer.questions.architecture.space import Space
from optimizer.questions.architecture.witness import FEW, FEW_WITHOUT_PLAN, look_again
from optimizer.solver.cp_sat_twice import SolveSettings, engine_version
from optimizer.spec.answer import Proof
from optimizer.watch import Watch

_SAME = 1e-9


@dataclass(frozen=True)
class Found:
    """What the searches of a problem's objectives found, one after the other."""

    outcome: Outcome
    """Of the last of them."""
    first_bound: float
    """On sense x the first objective."""
    counts: Counts
    witnesses: FrameWitnesses | None
    """The second look at the first objective."""


def lexicographic(space: Space, settings: SolveSettings, watch: Watch) -> Found:
    """Optimise each objective among the optima of the earlier ones, as far as the watch allows."""
    rules, total = space.rules, Counts(frames=space.n_frames)
    last, first_bound, witnesses = None, 0.0, None
    for name, sense in space.problem.objectives:
        if is_room(name):
            outcome, search = most_room(space, rules, name, watch, settings)
        else:
            search = Search(space, rules, symbol(name), sense, watch=watch, settings=settings)
            outcome = search.run()
        total.add(outcome.counts)
        if outcome.finished and (last is None or outcome.best is not None):
            seen = look_again(search, FEW if outcome.best else FEW_WITHOUT_PLAN, seed=settings.seed)
            witnesses = witnesses or seen
        if last is None:
            first_bound = outcome.bound
        elif outcome.best is None:
            if outcome.finished:
                raise InternalMismatch(f"the optimum is lost when {name} is optimised after it")
            return Found(replace(last, finished=False), first_bound, total, witnesses)
        last = outcome
        if outcome.best is None or not outcome.finished:
            break
        edge = outcome.best.key + abs(outcome.best.key) * (0.0 if is_room(name) else _SAME)
        rules = rules.with_value(*_at_optimum(name, sense, edge))
    if last is None:
        raise InputError("minimize: names no metric")
    return Found(last, first_bound, total, witnesses)


def _at_optimum(name: str, sense: int, edge: float) -> tuple[str, float]:
    """The bound that keeps a metric at its optimum; the problem's own is never tighter."""
    rule = f"{name}_max" if sense > 0 else f"{name}_min"
    return rule, edge if sense > 0 else -edge


def proof_of(space: Space, found: Found, seed: int, tolerance: float) -> Proof:
    """Why the answer can be believed; `tolerance`: the share by which the plan shown may be worse."""
    counts, outcome, witnesses = found.counts, found.outcome, found.witnesses
    confirmed = []
    if outcome.finished:
        unsolved = counts.frames - len(counts.frames_solved)
        confirmed.append(f"optimistic bounds of the other {unsolved} frames, in numpy")
        if counts.solves:
            confirmed.append("a second CP-SAT answer to every question, without presolve")
        if counts.enumerated:
            confirmed.append(f"enumeration of all {counts.enumerated} plans of the slices solved, in numpy")
        if outcome.best is None and witnesses is not None and witnesses.all_frames:
            confirmed.append(f"pricing all {space.n_frames} frames, without the floors")
    return Proof(
        counts={
            "lattice_points": space.lattice_points,
            "frames": counts.frames,
            "frames_solved": len(counts.frames_solved),
            "slices": counts.slices,
            "slices_solved": counts.slices_solved,
            "columns": counts.columns,
            "band": counts.band,
        },
        engine="OR-Tools CP-SAT",
        engine_version=engine_version(),
        solves=counts.solves,
        confirmed_by=tuple(confirmed),
        checker="all metrics and rules recomputed from the cost model"
        if outcome.best
        else "no plan to check",
        deterministic_time=round(counts.deterministic_time, 9),
        seed=seed,
        witnesses=witnesses,
        tolerance=tolerance,
    )


def require_metrics(space: Space) -> None:
    """InputError if a metric asked for does not exist or lacks a fact (a chip's price)."""
    frame = next(space.settings())
    for name in [
        *(n for n, _ in space.problem.objectives),
        *map(bounded_metric, space.rules.values),
    ]:
        if not name:
            continue
        module = of_architectures(name)
        space.require_covered(name)
        if hasattr(module, "holding"):
            continue
        for chip in space.chips:
            module.value(Slice(replace(frame, chip=chip, d_model=4096), 32), 1e9)


def bounded_metric(rule: str) -> str:
    """The metric a rule bounds, '' for a structural one."""
    return "" if rule in plugins("constraints") else split_bound(rule)[0]
