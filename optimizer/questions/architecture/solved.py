"""The answer to an architecture problem as it stands: its optimum, the plan shown, what is beside it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer import catalog
from optimizer.anatomy.assumptions import assumptions_of, has_experts
from optimizer.anatomy.models_assumed import models_assumed
from optimizer.anatomy.operators import operator_rows
from optimizer.anatomy.shares_assumed import shares_assumed
from optimizer.questions.architecture.most_room import any_symbol, is_room
from optimizer.questions.architecture.near_ties import NearTies, near_ties
from optimizer.questions.architecture.plan import (
    about_the_kinds,
    architecture_of,
    baseline_of,
    plan_of,
    ties_of,
    unseen_by_the_loss,
)
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.architecture.proof import Found
from optimizer.questions.architecture.slice_search import Candidate, tile_efficiency
from optimizer.questions.architecture.space import Space
from optimizer.questions.architecture.taken import taken
from optimizer.questions.question import Best
from optimizer.spec.answer import Assumption
from optimizer.spec.plan import Plan
from optimizer.watch import Watch


@dataclass(frozen=True)
class Solved:
    """What `best` keeps of its searches."""

    search: Found
    near: NearTies | None = None
    chosen: Candidate | None = None
    """A near-tie that the problem prefers to the optimum."""

    @property
    def optimum(self) -> Candidate:
        """The plan the searches found; there is one."""
        if self.search.outcome.best is None:
            raise ValueError("no plan was found")
        return self.search.outcome.best

    @property
    def shown(self) -> Candidate:
        """The plan that is shown."""
        return self.chosen or self.optimum


def first_of(problem: Problem, best: Best) -> Candidate:
    """The optimum, with the first objective's own value as its key."""
    name, sense = problem.objectives[0]
    own: Candidate = best.found.optimum
    return replace(own, metric=name, sense=sense, key=sense * (best.value or 0.0))


def settled(space: Space, best: Best, watch: Watch) -> Best:
    """An optimum with its near-ties; the most conventional of them, where the problem prefers that."""
    problem = space.problem
    (name, sense), share = problem.objectives[0], problem.near_ties
    rules, objective, first = space.rules, any_symbol(name), first_of(problem, best)
    if is_room(name):  # all plans with nearly as much room are ties, however much memory they take
        rules, sense, share = rules.with_value(f"{name}_min", (1 - share) * (best.value or 0.0)), 1, np.inf
    near = near_ties(space, rules, objective, sense, first, share, watch)
    solved = replace(best.found, near=near)
    chosen = near.conventional if problem.prefer == "conventional" else None
    if chosen is None:
        return replace(best, found=solved)
    plan = plan_of(space, chosen)
    return replace(best, plan=plan, value=plan.metrics[name], found=replace(solved, chosen=chosen))


def assumed(space: Space, shown: Candidate, plan: Plan, price_decides: bool) -> tuple[Assumption, ...]:
    """What a plan rests on that the problem did not say."""
    architecture, asked = architecture_of(space, shown), space.problem.architecture
    models = [space.baseline] if space.baseline else []
    said: tuple[Assumption, ...] = ()
    if isinstance(asked, str):
        models = [catalog.model(asked, space.problem.documents), *models]
    else:
        said = taken(asked, space.baseline)
    given = frozenset(space.problem.model_fields_set | space.problem.deployment.model_fields_set)
    return (
        *unseen_by_the_loss(space),
        *said,
        *models_assumed(models),
        *about_the_kinds(space, architecture),
        *shares_assumed(shown.frame, architecture),
        *assumptions_of(given, shown.frame, plan.metrics, has_experts(architecture), price_decides),
    )


def beside(space: Space, solved: Solved, plan: Plan) -> dict[str, Any]:
    """Tiles and operators of a plan, the baseline and the near-ties beside it."""
    shown, near = solved.shown, solved.near
    architecture = architecture_of(space, shown)
    block = architecture.first
    return {
        "tile_efficiency": float(tile_efficiency(shown.frame, block.mixer, block.ffn)),
        "baseline": baseline_of(space, shown.frame, plan.metrics),
        "operators": operator_rows(shown.frame, architecture),
        "near_ties": None if near is None else ties_of(space, near),
    }
