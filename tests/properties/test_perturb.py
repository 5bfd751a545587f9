"""Prices on random small problems: signs, values against enumeration, and what is skipped without a solve."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_optimum import problems

from optimizer.questions.architecture.enumeration import brute_force
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.moves import can_be_dropped, is_tighter, moves_of
from optimizer.questions.architecture.space import resolve
from optimizer.questions.question import Ask
from optimizer.studies.asking import Questions, text_of
from optimizer.studies.changes import Variation
from optimizer.studies.perturb import perturb


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems())
def test_looser_never_hurts_and_tighter_never_helps(problem) -> None:
    """Some hundreds of perturbations; `benchmarks/studies.py` does more than a thousand."""
    found = perturb(problem)
    if found.value is None:
        assert found.status == "infeasible"
        return
    sign = found.objective.sign
    for change in found.changes:
        if change.kind == "dimension":  # a choice held is one more constraint
            assert change.difference is None or sign * change.difference >= -1e-9 * abs(found.value)
        elif change.move == "dropped":
            assert change.difference is not None
            assert sign * change.difference <= 1e-9 * abs(found.value)
        elif is_tighter(change.name, change.from_, change.to):
            assert change.difference is None or sign * change.difference >= -1e-9 * abs(found.value)
        elif is_tighter(change.name, change.to, change.from_):
            assert change.difference is not None
            assert sign * change.difference <= 1e-9 * abs(found.value)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems(), st.data())
def test_each_perturbed_optimum_is_the_enumerated_one(problem, data) -> None:
    space = resolve(problem)
    name, sense = problem.objectives[0]
    rule = data.draw(st.sampled_from([r for r in space.rules.values if can_be_dropped(r)]))
    moves = [None, *moves_of(rule, space.rules.values[rule])]
    move = data.draw(st.sampled_from(moves))
    rules = space.rules.without(rule) if move is None else space.rules.with_value(rule, move[1])
    truth = brute_force(space, rules, symbol(name), sense)
    change = {"without": (rule,)} if move is None else {"values": {rule: move[1]}}
    aim = {"metric": name, "sense": "min" if sense > 0 else "max", "step": 1.0}
    plan = Questions().ask(text_of(problem), Ask(aims=(aim,), **change)).plan
    assert (plan is None) == bool(np.isinf(truth))
    if plan is not None:
        assert sense * plan.metrics[name] == pytest.approx(truth, rel=1e-9)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems(), st.data())
def test_a_choice_held_and_a_figure_scaled_equal_a_problem_made_so(problem, data) -> None:
    """Shortcuts that share a space against spaces made from scratch."""
    space = resolve(problem)
    name, sense = problem.objectives[0]
    aim = {"metric": name, "sense": "min" if sense > 0 else "max", "step": 1.0}
    field = data.draw(st.sampled_from(["n_layers", "d_model", "n_heads", "n_kv_heads", "d_head", "d_ff"]))
    value = data.draw(st.sampled_from(getattr(problem.architecture, field)))
    factor = data.draw(st.sampled_from([0.7, 1.3]))
    asked = Ask(aims=(aim,), within={field: (value,)}, scaled={"hardware.hbm_bandwidth": factor})
    plan = Questions().ask(text_of(problem), asked).plan
    lattice = problem.architecture.model_copy(update={field: (value,)})
    other = resolve(problem.model_copy(update={"architecture": lattice}))
    chips = tuple(c.model_copy(update={"hbm_bandwidth": c.hbm_bandwidth * factor}) for c in space.chips)
    rules = replace(other.rules, reference=type(other.rules.reference)(other.baseline))
    other = replace(other, chips=chips, rules=rules)
    truth = brute_force(other, rules, symbol(name), sense)
    assert (plan is None) == bool(np.isinf(truth))
    if plan is not None:
        assert sense * plan.metrics[name] == pytest.approx(truth, rel=1e-9)


def test_the_8b_problem_says_what_binds_and_what_a_wrong_bandwidth_would_change() -> None:
    from optimizer import load_problem

    lattice = {"architecture.d_model": {"min": 4608, "max": 5184, "multiple_of": 64}}
    problem = load_problem("dense-8b-b200", lattice)
    found = perturb(problem, [Variation("hardware.hbm_bandwidth", 1.1)])
    binds = {bearing.constraint: bearing.binds for bearing in found.bearings}
    assert binds["loss_increase_max"] is True
    assert binds["memory_capacity"] is False
    assert binds["gqa_divisibility"] is None
    faster = next(c for c in found.changes if c.kind == "constant")
    assert faster.difference is not None
    assert faster.difference < 0
    assert {row.direction for row in found.critical} == {"up", "down"}
    for row in found.critical:
        assert row.changes_at is None or abs(row.changes_at) - abs(row.same_until) <= 0.001
    effects = [abs(c.difference) for c in found.changes if c.difference is not None]
    assert effects == sorted(effects, reverse=True)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems(), st.data())
def test_the_plan_a_search_begins_with_changes_no_answer(problem, data) -> None:
    """The optimum itself, another plan of the space, one that the changed rules forbid."""
    name, sense = problem.objectives[0]
    first = {"metric": name, "sense": "min" if sense > 0 else "max", "step": 1.0}
    later = {"metric": "memory_gib", "sense": "min", "step": 0.1}
    text, aims = text_of(problem), (first, later)
    questions = Questions()
    base = questions.ask(text, Ask(aims=aims)).plan
    other = questions.ask(text, Ask(aims=(later,))).plan
    if base is None:
        return
    question = questions.of(text)
    rule = data.draw(st.sampled_from([r for r in question.rules() if can_be_dropped(r)]))
    moves = [value for _, value, _ in moves_of(rule, question.rules()[rule])]
    depth = base.architecture.n_layers
    changes = [
        {},
        {"without": (rule,)},
        {"scaled": {"hardware.hbm_bandwidth": 0.7}},
        {"within": {"n_layers": (depth,)}},
        *({"values": {rule: v}} for v in moves),
    ]
    for change in changes:
        free = Questions().ask(text, Ask(aims=aims, **change)).plan
        for plan in (base, other):
            begun = questions.ask(text, Ask(aims=aims, **change, start=question.choices(plan))).plan
            assert begun == free
