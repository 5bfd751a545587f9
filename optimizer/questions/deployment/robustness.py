"""What the answer to a deployment problem says of what may go wrong: each case as checked, and the price."""

from optimizer.columns.scenarios import part_of
from optimizer.questions.deployment.solved import optimum_without
from optimizer.questions.deployment.vocabulary import DeploymentVocabulary
from optimizer.questions.question import Best
from optimizer.questions.robust_prices import prices_of
from optimizer.spec.robustness import Robustness, WhenWrong


def robustness_of(asked: DeploymentVocabulary, best: Best) -> Robustness:
    """Every case with what the plan holds in it, and the optimum without each part and without all."""
    if best.plan is None:
        return Robustness()
    check = asked.plan_of(asked.bounds, best.found.shown.counts).check
    demand = asked.columns.demand
    cases = [
        WhenWrong(
            case=own.case.words,
            parts=own.case.parts,
            requests_per_s=float(own.loads.held),
            to_spare=None if demand is None else float(own.loads.held) / demand - 1,
        )
        for own in check.at_worst
    ]
    rules = tuple(filter(part_of, asked.bounds))
    prices, untried = prices_of(best, rules, lambda without: optimum_without(asked, *without))
    ordered = sorted(cases, key=lambda row: (row.requests_per_s, -len(row.parts)))
    return Robustness(cases=tuple(ordered), prices=prices, untried=untried)
