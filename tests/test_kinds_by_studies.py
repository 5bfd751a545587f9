"""Every study answers every kind of problem: each cell with journal, executor, limit and cancel.

Nothing here names a kind: what a folder of `optimizer/questions` declares is walked. A kind without a small
problem in `small_problems` fails, and so does one that a study cannot answer.
"""

from pathlib import Path
from typing import Any

import pytest
import small_problems
from rich.console import Console

from optimizer import (
    Answer,
    Options,
    Variation,
    enumerate_plans,
    explain,
    frontier,
    perturb,
    solve,
    sweep,
)
from optimizer.questions.kinds import kind_of, kind_of_problem, kinds
from optimizer.questions.question import Ask, question_of
from optimizer.studies.executors import executor_named

KINDS = sorted(kinds())
AS_IT_IS = Options()
MANY = ("frontier", "perturb", "enumerate", "sweep")
"""Studies of many re-solves: they take an executor and a journal."""


def asked(name: str, kind: str, options: Options = AS_IT_IS, **more: Any) -> Any:
    """A study of the small problem of a kind."""
    problem = small_problems.problem(kind)
    if name == "solve":
        return solve(problem, options)
    if name == "frontier":
        return frontier(problem, options=options, **more)
    if name == "perturb":
        return perturb(problem, [Variation(a_number(problem), 1.1)], options=options, **more)
    if name == "explain":
        return explain(problem, options=options)
    if name == "enumerate":
        return enumerate_plans(problem, top=4, options=options, **more)
    return sweep(problem, small_problems.OVER[kind], options=options, **more)


def a_number(problem: Any) -> str:
    """A constant of the problem that can be scaled."""
    workload = "workload.output_tokens"
    return workload if hasattr(problem, "workload") else NUMBERS[kind_of_problem(problem).name]


NUMBERS = {
    "fleet": "hardware.usd_per_chip_hour",
    "training": "training_tokens",
    "training_across": "training_tokens",
}
STUDIES = ("solve", "explain", *MANY)
CELLS = [(kind, study) for kind in KINDS for study in STUDIES]


def timeless(found: Any) -> Any:
    """All that an answer says, but for the seconds."""
    said = found.model_dump(mode="json")
    return {name: value for name, value in said.items() if name != "wall_s"}


def test_every_kind_has_a_small_problem() -> None:
    assert (
        set(small_problems.PROBLEMS)
        == set(small_problems.IMPOSSIBLE)
        == set(small_problems.OVER)
        == set(KINDS)
    )
    for kind in KINDS:
        assert kind_of_problem(small_problems.problem(kind)).name == kind


@pytest.mark.parametrize(("kind", "study"), CELLS)
def test_every_study_answers_every_kind(kind: str, study: str) -> None:
    found = asked(study, kind)
    assert found.status in ("optimal", "complete", "feasible" if study == "explain" else "complete")
    assert f".{kind}." in str(type(question_of(small_problems.problem(kind)))).lower()
    report = __import__(f"optimizer.report.{REPORTS.get(study, kind)}", fromlist=["report"]).report
    with (console := Console(width=80)).capture() as text:
        console.print(report(found))
    assert found.status.upper() in text.get() and "\x1b" not in repr(found)


REPORTS = {name: name for name in STUDIES if name != "solve"}


@pytest.mark.parametrize("kind", KINDS)
def test_solve_and_every_study_agree(kind: str) -> None:
    """The optimum of `solve` is that of a re-solve, of the first of a list, and of a perturbation's base."""
    best = asked("solve", kind)
    assert isinstance(best, Answer) and kind_of(best.problem).name == kind and best.plan is not None
    value, metric = best.objective.value, best.objective.name
    assert value is not None
    question = question_of(small_problems.problem(kind))
    again = question.optimum(Ask(aims=question.own_aims())).plan
    listed, moved = asked("enumerate", kind), asked("perturb", kind)
    for other in (again, listed.plans[0], moved.plan):
        assert other is not None and other.metrics[metric] == pytest.approx(value, rel=1e-9)
    keys = [question.own_aims()[0].sign * plan.metrics[metric] for plan in listed.plans]
    assert keys == sorted(keys)
    assert {b.constraint for b in best.binding} == {b.constraint for b in moved.bearings if b.binds}


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_priced_again_is_what_it_was(kind: str) -> None:
    """The one way in which studies look at a plan outside a search."""
    question = question_of(small_problems.problem(kind))
    plan = question.optimum(Ask(aims=question.own_aims())).plan
    assert plan is not None
    again = question.priced(plan)
    assert again.metrics == pytest.approx(plan.metrics) and not again.broken
    for rule, value in question.rules().items():
        assert question.keeps(plan, rule, value), rule
        for _, new, _ in question.moves(rule, plan):
            kept = question.keeps(plan, rule, new)
            assert kept or not question.tighter(rule, new, value), (rule, new)


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_plan_is_explained(kind: str) -> None:
    """Conflicts are minimal: each is impossible, and possible without any one of its rules."""
    problem = small_problems.impossible(kind)
    best = solve(problem)
    assert best.status == "infeasible" and best.conflict is not None and best.plan is None
    found = explain(problem)
    assert found.status == "infeasible" and found.complete
    question = question_of(problem)
    for names in (best.conflict.constraints, *found.conflicts):
        chosen = frozenset(names) | question.defining()
        assert question.kept_by_a_plan(chosen) is None
        for name in names:
            assert question.kept_by_a_plan(chosen - {name}) is not None
    for change in found.relaxations:
        if isinstance(change.to, int | float) and change.constraint in question.rules():
            asked = Ask(aims=question.own_aims(), values={change.constraint: change.to}, any_plan=True)
            assert question.optimum(asked).plan is not None, change.sentence


@pytest.mark.parametrize("study", MANY)
@pytest.mark.parametrize("kind", KINDS)
def test_a_journal_is_gone_on_with(kind: str, study: str, tmp_path: Path) -> None:
    """Kept, cut in the middle and resumed, a study ends with the same answer."""
    whole = asked(study, kind)
    journal = tmp_path / "journal"
    first = asked(study, kind, journal=journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    assert timeless(first) == timeless(whole)
    one_pass = kind == "architecture" and study == "enumerate"  # a list of its own, with no re-solves
    assert len(lines) > 1 or one_pass
    journal.write_bytes(b"".join(lines[: 1 + len(lines) // 2]))
    assert timeless(asked(study, kind, journal=journal)) == timeless(whole)


@pytest.mark.parametrize("study", MANY)
@pytest.mark.parametrize("kind", KINDS)
def test_threads_answer_as_one_does(kind: str, study: str) -> None:
    with executor_named("threads:2") as executor:
        assert timeless(asked(study, kind, executor=executor)) == timeless(asked(study, kind))


@pytest.mark.parametrize(("kind", "study"), CELLS)
def test_a_study_that_is_cancelled_says_so(kind: str, study: str) -> None:
    """At once, with no answer that is not proven."""
    found = asked(study, kind, Options(cancelled=lambda: True))
    assert found.status in ("unknown", "partial", "feasible") or found.binding_untried


def test_a_choice_that_is_none_is_refused() -> None:
    from optimizer import InputError

    for kind in KINDS:
        with pytest.raises(InputError, match="distinct"):
            enumerate_plans(small_problems.problem(kind), distinct=["colour"])
        with pytest.raises(InputError, match="colour"):
            frontier(small_problems.problem(kind), ["colour", "shape"])
