"""All minimal conflicts of an infeasible problem, and every single relaxation, each verified by a solve."""

from typing import TYPE_CHECKING

from optimizer.questions.architecture.explain import feasible_around, find_plan, relax, relax_deployment
from optimizer.questions.architecture.moves import can_be_dropped
from optimizer.questions.architecture.outcome import plan_of
from optimizer.questions.architecture.solve import require_metrics
from optimizer.questions.architecture.space import resolve
from optimizer.questions.deployment.conflicts import explain_all
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.options import Options
from optimizer.search.all_conflicts import Conflicts, Names
from optimizer.spec.studies import Explanation, Work
from optimizer.studies.asking import AnyProblem
from optimizer.version import VERSION
from optimizer.watch import Stopped

if TYPE_CHECKING:
    from optimizer.spec.answer import Relaxation

LIMIT = 20
"""Minimal conflicts listed at most, unless said otherwise."""


def explain(problem: AnyProblem, limit: int = LIMIT, options: Options = Options()) -> Explanation:
    """Why a problem has no plan: every minimal conflict up to `limit`, and every single change that would do.

    A problem with a plan is 'feasible', and the plan is the witness. 'unknown': the time limit passed.
    """
    if isinstance(problem, DeploymentProblem):
        return explain_all(problem, limit, options)
    space = resolve(problem)
    require_metrics(space)
    watch = options.watch()
    always = frozenset(name for name in space.rules.values if not can_be_dropped(name))

    def kept(names: Names) -> Names | None:
        """The rules that a plan under these rules keeps; None if there is no such plan."""
        around = feasible_around(space, names | always, watch)
        return None if around is None else around - always

    names_tried = [name for name in space.rules.values if name not in always]
    found = Conflicts(names_tried, kept, limit, watch)
    status = "infeasible"
    relaxations: list[Relaxation] = []
    try:
        plan = find_plan(space, space.rules, watch)
        if plan is None:
            found.run()
            names = dict.fromkeys(n for n in space.rules.values if any(n in c for c in found.conflicts))
            for i, name in enumerate(names):
                found.say(f"relaxing {name}", left=len(names) - i)
                relaxations.append(relax(space, name, watch))
            relaxations += relax_deployment(space, watch)
        else:
            status = "feasible"
    except Stopped:
        status, plan = "unknown", None
    return Explanation(
        status=status,
        conflicts=tuple(tuple(n for n in space.rules.values if n in (c or always)) for c in found.conflicts),
        complete=found.complete,
        relaxations=tuple(relaxations),
        witness=None if plan is None else plan_of(space, plan),
        work=Work(asked=found.asked),
        version=VERSION,
        problem=problem.model_dump(mode="json", exclude_unset=True),
    )
