"""All minimal conflicts of an infeasible problem of any kind, and every single change, each tried."""

from typing import TYPE_CHECKING

from pydantic import BaseModel

from optimizer.errors import InputError
from optimizer.questions.options import Options
from optimizer.questions.question import Ask, Question, question_of
from optimizer.search.conflict import Conflicts, Names
from optimizer.spec.studies import Explanation, Work
from optimizer.version import VERSION
from optimizer.watch import Stopped

if TYPE_CHECKING:
    from optimizer.spec.answer import Relaxation

LIMIT = 20
"""Minimal conflicts listed at most, unless said otherwise."""


def explain(problem: BaseModel, limit: int = LIMIT, options: Options = Options()) -> Explanation:
    """Why a problem has no plan: every minimal conflict up to `limit`, and every single change that would do.

    A problem with a plan is 'feasible', and the plan is the witness. 'unknown': the time limit passed.
    """
    question = question_of(problem, options.watch(), options.settings)
    watch, always = question.watch, question.defining()
    rules = list(question.rules())

    def around(names: Names) -> Names | None:
        kept = question.kept_by_a_plan(names | always, watch)
        return None if kept is None else kept - always

    found = Conflicts([rule for rule in rules if rule not in always], around, limit, watch)
    status, plan = "infeasible", None
    changes: list[Relaxation] = []
    try:
        plan = question.optimum(Ask(aims=question.own_aims(), any_plan=True), watch).plan
        if plan is not None:
            status = "feasible"
        else:
            found.run()
            _changes(question, found, changes)
    except Stopped:
        status = "unknown"
        if not found.conflicts and (plan := question.at_hand(question.own_aims()[0])) is not None:
            status = "feasible"
    return Explanation(
        status=status,
        conflicts=tuple(tuple(n for n in rules if n in (c or always)) for c in found.conflicts),
        complete=found.complete,
        relaxations=tuple(changes),
        witness=plan,
        stopped=question.unprepared() if status == "unknown" else "",
        work=Work(asked=found.asked),
        version=VERSION,
        problem=problem.model_dump(mode="json", exclude_unset=True),
    )


def _changes(question: Question, found: Conflicts, changes: "list[Relaxation]") -> None:
    """Add the nearest change of every rule in a conflict, and of choices left out. Raises Stopped."""
    if frozenset() in found.conflicts and not question.defining():
        raise InputError(question.why_nothing_runs())
    names = [n for n in question.rules() if any(n in c for c in found.conflicts)]
    for i, name in enumerate(names):
        found.say(f"relaxing {name}", left=len(names) - i)
        changes.append(question.relaxation(name, question.watch))
    changes += question.wider(question.watch)
    question.watch.check()
