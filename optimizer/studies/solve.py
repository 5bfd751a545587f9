"""The optimum of a problem of any kind, with its proof; or the conflict that leaves no plan."""

import time

from pydantic import BaseModel

from optimizer.bands import around
from optimizer.questions.options import Options
from optimizer.questions.question import Best, Question, question_of
from optimizer.search.binding import WhatBinds, what_binds
from optimizer.spec.answer import Answer
from optimizer.version import VERSION


def solve(problem: BaseModel, options: Options = Options()) -> Answer:
    """Solve a problem to proven optimality, or name the smallest conflict.

    A list of objectives is lexicographic: each later one is optimised among the optima of the earlier. The
    kind of problem decides what the answer shows beside what every answer does. Raises InputError for what
    cannot be asked, InternalMismatch if an answer fails its own check.
    """
    start = time.monotonic()
    question = question_of(problem, options.watch(), options.settings)
    found = question.best()
    binds = _binds(question, found)
    best = question.settled(found)
    plan = best.plan
    conflict = question.conflict(question.watch) if best.status == "infeasible" else None
    shown = {
        "architecture": plan.architecture if plan else None,
        "deployment": plan.deployment if plan else None,
    } | question.adds(best)
    return question.ANSWER(
        plan=plan,
        status=best.status,
        stopped=question.unprepared(),
        objective=question.objective(best),
        metrics=plan.metrics if plan else {},
        bands=around(plan.metrics, question.groups(plan)) if plan else {},
        binding=question.binding(found, binds.rules),
        binding_untried=binds.untried,
        conflict=conflict,
        assumptions=question.assumptions(best),
        certificate=question.proof(best),
        wall_s=time.monotonic() - start,
        version=VERSION,
        problem=problem.model_dump(mode="json", exclude_unset=True),
        **shown,
    )


def _binds(question: Question, best: Best) -> WhatBinds:
    """The rules without which alone the optimum is better."""
    value = best.value if best.optimum is None else best.optimum
    if best.status != "optimal" or value is None:
        return WhatBinds(())
    rules = [rule for rule in question.rules() if question.can_be_dropped(rule)]
    sign = question.own_aims()[0].sign
    return what_binds(rules, value, sign, lambda rule: question.optimum_without(rule, best), question.watch)
