"""What a problem says may go wrong, as rules with a number each and what these numbers are of."""

from optimizer.columns.scenarios import PREFIX, Uncertain
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.spec.robust import Robust

_ALL = 1.0
"""Of a band, or of a list of hours."""


def levels(problem: DeploymentProblem) -> dict[str, float]:
    """The rules of what may go wrong: how far each part is from what was predicted or asked for."""
    own = problem.robust
    if own is None:
        return {}
    return {
        PREFIX + part: _ALL if part in own.by_share else _number(own, part, problem) for part in own.parts
    }


def _number(own: Robust, part: str, problem: DeploymentProblem) -> float:
    return _hours(own, problem)[0][0] if part == "traffic" else float(getattr(own, part))


def _hours(own: Robust, problem: DeploymentProblem) -> tuple[tuple[float, float], ...]:
    """Factors of traffic and of times."""
    asked = problem.workload.requests_per_s or 1.0
    return tuple(
        (hour.factor or (hour.requests_per_s or asked) / asked, hour.latency) for hour in own.traffic or ()
    )


def uncertain(problem: DeploymentProblem) -> Uncertain | None:
    """What the rules are of; None where nothing may go wrong."""
    own = problem.robust
    if own is None:
        return None
    return Uncertain(_hours(own, problem), own.at_once, own.by_share)
