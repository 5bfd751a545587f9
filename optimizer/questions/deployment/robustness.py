"""What the answer to a deployment problem says of what may go wrong: each case as checked, and the price."""

from math import isinf

from optimizer.columns.scenarios import part_of
from optimizer.questions.deployment.solved import optimum_without
from optimizer.questions.deployment.vocabulary import DeploymentVocabulary
from optimizer.questions.question import Best
from optimizer.spec.robustness import PriceOf, Robustness, WhenWrong
from optimizer.watch import Stopped

ALL = "robust"


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
    prices, untried = _prices(asked, best)
    ordered = sorted(cases, key=lambda row: (row.requests_per_s, -len(row.parts)))
    return Robustness(cases=tuple(ordered), prices=prices, untried=untried)


def _prices(asked: DeploymentVocabulary, best: Best) -> tuple[tuple[PriceOf, ...], tuple[str, ...]]:
    """The price of each part, of a plan that is proven optimal, and the parts there was no time for."""
    rules = tuple(filter(part_of, asked.bounds))
    if best.status != "optimal" or best.value is None:
        return (), rules
    ways = {rule: (rule,) for rule in rules} | ({ALL: rules} if len(rules) > 1 else {})
    prices: list[PriceOf] = []
    for name, without in ways.items():
        try:
            value = optimum_without(asked, *without)
        except Stopped:
            return tuple(prices), tuple(list(ways)[len(prices) :])
        known = value is not None and not isinf(value)
        cost = best.value - value if known and value is not None else None
        prices.append(PriceOf(without=name, value=value if known else None, difference=cost))
    return tuple(prices), ()
