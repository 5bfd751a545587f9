"""The optimum of a problem, with its proof; or the conflict that leaves no plan."""

import time
from dataclasses import replace

from optimizer.anatomy.assumptions import assumptions_of
from optimizer.anatomy.operators import operator_rows
from optimizer.columns.rules import split_bound
from optimizer.cost.frame import Slice
from optimizer.errors import InputError, InternalMismatch
from optimizer.metrics import metric
from optimizer.plugins import plugins
from optimizer.questions.architecture.answer import ArchitectureAnswer, FrameWitnesses
from optimizer.questions.architecture.compiled import symbol
from optimizer.questions.architecture.explain import explain_conflict
from optimizer.questions.architecture.outcome import (
    architecture_of,
    baseline_of,
    plan_of,
    unit,
    unseen_by_the_loss,
    vocabulary_of,
)
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.architecture.search import Counts, Outcome, Search, tile_efficiency
from optimizer.questions.architecture.space import Space, resolve
from optimizer.questions.architecture.surroundings import Surroundings, surroundings
from optimizer.questions.architecture.witness import FEW, FEW_WITHOUT_PLAN, look_again
from optimizer.questions.options import Options
from optimizer.solver.engine import engine_version
from optimizer.spec.answer import Objective, Proof
from optimizer.version import VERSION
from optimizer.watch import Watch

_SAME = 1e-9


def solve(problem: Problem, options: Options = Options()) -> ArchitectureAnswer:
    """Solve a problem to proven optimality, or name the smallest conflict.

    A list of objectives is lexicographic: each later one is optimised among the optima of the earlier.
    Raises InputError for what cannot be asked, InternalMismatch if an answer fails its own check.
    """
    start = time.monotonic()
    watch = options.watch()
    space = resolve(problem)
    require_metrics(space)
    outcome, first_bound, total, witnesses = _lexicographic(space, options, watch)
    name, sense = problem.objectives[0]
    common = {"problem": problem.model_dump(mode="json", exclude_unset=True), "version": VERSION}
    if outcome.best is None:
        certificate = _certificate(space, total, outcome, options, witnesses)
        conflict = explain_conflict(space, watch) if outcome.finished else None
        return ArchitectureAnswer(
            status="infeasible" if outcome.finished else "unknown",
            objective=Objective.of(
                name, unit(name), sense, None, None if outcome.finished else sense * first_bound
            ),
            conflict=conflict,
            certificate=certificate,
            wall_s=time.monotonic() - start,
            **common,
        )
    around = surroundings(space, outcome, watch) if outcome.finished else Surroundings()
    best = around.preferred(problem) or outcome.best
    certificate = _certificate(space, total, outcome, options, witnesses)
    if best is not outcome.best:
        certificate = certificate.model_copy(update={"tolerance": problem.near_ties})
    plan = plan_of(space, best)
    value = plan.metrics[name]
    architecture = architecture_of(space, best)
    block = architecture.first
    return ArchitectureAnswer(
        status="optimal" if outcome.finished else "feasible",
        objective=Objective.of(name, unit(name), sense, value, sense * first_bound),
        plan=plan,
        architecture=plan.architecture,
        deployment=plan.deployment,
        metrics=plan.metrics,
        tile_efficiency=float(tile_efficiency(best.frame, block.mixer, block.ffn)),
        baseline=baseline_of(space, best.frame, plan.metrics),
        operators=operator_rows(best.frame, architecture),
        binding=around.binding,
        binding_untried=around.untried,
        near_ties=around.ties(space),
        assumptions=(
            *unseen_by_the_loss(space),
            *vocabulary_of(space),
            *assumptions_of(_given(problem), best.frame, plan.metrics),
        ),
        certificate=certificate,
        wall_s=time.monotonic() - start,
        **common,
    )


def _given(problem: Problem) -> frozenset[str]:
    """Fields that the problem file sets itself."""
    return frozenset(problem.model_fields_set | problem.deployment.model_fields_set)


def require_metrics(space: Space) -> None:
    """InputError if a metric asked for does not exist or lacks a fact (a chip's price)."""
    frame = next(space.settings())
    for name in [
        *(n for n, _ in space.problem.objectives),
        *map(bounded_metric, space.rules.values),
    ]:
        if not name:
            continue
        module = metric(name)
        for chip in space.chips:
            module.value(Slice(replace(frame, chip=chip, d_model=4096), 32), 1e9)


def bounded_metric(rule: str) -> str:
    """The metric a rule bounds, '' for a structural one."""
    return "" if rule in plugins("constraints") else split_bound(rule)[0]


def _lexicographic(
    space: Space, options: Options, watch: Watch
) -> tuple[Outcome, float, Counts, FrameWitnesses | None]:
    """The last outcome, the bound on the first objective's key, all counts, the second look at the first."""
    rules, total = space.rules, Counts(frames=space.n_frames)
    last, first_bound, witnesses = None, 0.0, None
    for name, sense in space.problem.objectives:
        search = Search(space, rules, symbol(name), sense, watch=watch, settings=options.settings)
        outcome = search.run()
        total.add(outcome.counts)
        if outcome.finished and (last is None or outcome.best is not None):
            seen = look_again(search, FEW if outcome.best else FEW_WITHOUT_PLAN, seed=options.settings.seed)
            witnesses = witnesses or seen
        if last is None:
            first_bound = outcome.bound
        elif outcome.best is None:
            if outcome.finished:
                raise InternalMismatch(f"the optimum is lost when {name} is optimised after it")
            return replace(last, finished=False), first_bound, total, witnesses
        last = outcome
        if outcome.best is None or not outcome.finished:
            break
        edge = outcome.best.key + abs(outcome.best.key) * _SAME
        rules = rules.with_value(*_at_optimum(name, sense, edge))
    if last is None:
        raise InputError("minimize: names no metric")
    return last, first_bound, total, witnesses


def _at_optimum(name: str, sense: int, edge: float) -> tuple[str, float]:
    """The bound that keeps a metric at its optimum; the problem's own is never tighter."""
    rule = f"{name}_max" if sense > 0 else f"{name}_min"
    return rule, edge if sense > 0 else -edge


def _certificate(
    space: Space, counts: Counts, outcome: Outcome, options: Options, witnesses: FrameWitnesses | None
) -> Proof:
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
        seed=options.settings.seed,
        witnesses=witnesses,
        tolerance=0.0,
    )
