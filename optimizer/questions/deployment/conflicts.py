"""All minimal conflicts of a deployment's bounds, and every single change that would do, each tried."""

from typing import TYPE_CHECKING

from optimizer.errors import InputError
from optimizer.questions.deployment.columns import prepare
from optimizer.questions.deployment.explain import single_changes
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.deployment.question import DeploymentQuestion
from optimizer.questions.deployment.solve import ANY_TRAFFIC
from optimizer.questions.options import Options
from optimizer.questions.question import Ask
from optimizer.search.all_conflicts import Conflicts, Names
from optimizer.spec.studies import Explanation, Work
from optimizer.version import VERSION
from optimizer.watch import Stopped

if TYPE_CHECKING:
    from optimizer.spec.answer import Relaxation


def explain_all(problem: DeploymentProblem, limit: int, options: Options) -> Explanation:
    """Why a deployment has no plan: every minimal conflict up to `limit`, and every single change."""
    watch = options.watch()
    question = DeploymentQuestion(problem, watch)
    bounds = question.bounds

    def kept(names: Names) -> Names | None:
        """The bounds that a plan within these bounds keeps; None if there is no such plan."""
        chosen = {"requests_per_s": ANY_TRAFFIC} | {n: v for n, v in bounds.items() if n in names}
        return question.kept_by_a_plan(chosen, watch)

    found = Conflicts(list(bounds), kept, limit, watch)
    status = "infeasible"
    relaxations: tuple[Relaxation, ...] = ()
    witness = None
    try:
        witness = question.optimum(Ask(aims=(), any_plan=True), watch).plan
        if witness is None:
            found.run()
            if frozenset() in found.conflicts:
                raise InputError("deployment.mode: no whole replica: a prefill and a decode row are needed")
            names = [n for n in bounds if any(n in c for c in found.conflicts)]
            relaxations = single_changes(problem, question.columns, bounds, names, prepare, watch)
            watch.check()
        else:
            status = "feasible"
    except Stopped:
        status, relaxations = "unknown", ()
        if not found.conflicts and (witness := question.at_hand(question.own_aims()[0])) is not None:
            status = "feasible"
    return Explanation(
        status=status,
        conflicts=tuple(tuple(n for n in bounds if n in c) for c in found.conflicts),
        complete=found.complete,
        relaxations=relaxations,
        witness=witness,
        stopped=question.unprepared() if status == "unknown" else "",
        work=Work(asked=found.asked),
        version=VERSION,
        problem=problem.model_dump(mode="json", exclude_unset=True),
    )
