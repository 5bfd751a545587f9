"""Published models beside a frontier: dominated, by which point, by how much."""

from collections.abc import Sequence
from typing import Literal

from optimizer.questions.question import Question
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Placed

_SAME = 1e-9


def place_models(
    question: Question,
    aims: tuple[Aim, ...],
    points: tuple[Plan, ...],
    models: Sequence[str],
    complete: bool,
) -> tuple[Placed, ...]:
    """The models of `Question.beside`, each where the first point runs."""
    if not points:
        return ()
    return tuple(_placed(question, aims, points, name, complete) for name in question.beside(models))


def _placed(
    question: Question, aims: tuple[Aim, ...], points: tuple[Plan, ...], name: str, complete: bool
) -> Placed:
    again = question.place(name, points[0])
    metrics, breaks = again.metrics or {}, again.broken
    own = [aim.sign * metrics[aim.metric] for aim in aims]

    def excess(plan: Plan) -> list[float]:
        """How much worse the point is in each objective, relative."""
        theirs = [aim.sign * plan.metrics[aim.metric] for aim in aims]
        return [(t - o) / abs(o) if o else t - o for t, o in zip(theirs, own, strict=True)]

    worst = [max(excess(plan)) for plan in points]
    row = min(range(len(points)), key=lambda i: (worst[i], sum(excess(points[i]))))
    verdict: Literal["dominated", "on the frontier", "outside", "undecided"]
    if worst[row] <= _SAME:
        better = min(excess(points[row])) < -_SAME
        dominating = [i for i in range(len(points)) if worst[i] <= _SAME]
        row = min(dominating, key=lambda i: sum(excess(points[i])))
        verdict = "dominated" if better or min(excess(points[row])) < -_SAME else "on the frontier"
    else:
        verdict = "outside" if complete else "undecided"
    found = verdict in ("dominated", "on the frontier")
    difference = {a.metric: points[row].metrics[a.metric] - metrics[a.metric] for a in aims}
    return Placed(
        name=name,
        metrics=metrics,
        verdict=verdict,
        point=row if found else None,
        difference=difference if found else {},
        breaks=breaks,
        unlike=question.unlike(name),
    )
