"""What the answer to a fleet problem says of what may go wrong: each case as checked, and the price."""

from optimizer.questions.fleet.solved import optimum_without
from optimizer.questions.fleet.vocabulary import FleetVocabulary
from optimizer.questions.question import Best
from optimizer.questions.robust_prices import prices_of
from optimizer.spec.robustness import Robustness, WhenWrong


def robustness_of(asked: FleetVocabulary, best: Best) -> Robustness:
    """Every case with what the plan holds in it, and the optimum without each part and without all.

    What is held is the traffic of all services at which the first pool is full, each service splitting its
    own as in the best of the ways that were worked out; or, where not all must be served, what is.
    """
    if best.plan is None:
        return Robustness()
    served, all_of_it = best.plan.metrics["requests_per_s"], asked.problem.maximize is None
    cases = []
    for own in best.found.check.at_worst:
        spare = float(1 / own.fullest) - 1 if own.fullest and all_of_it else None
        held = served * (1 + (spare or 0.0))
        row = WhenWrong(case=own.case.words, parts=own.case.parts, requests_per_s=held, to_spare=spare)
        cases.append(row)
    rules = tuple(asked.levels)
    prices, untried = prices_of(best, rules, lambda without: optimum_without(asked, *without))
    ordered = sorted(cases, key=lambda row: (row.requests_per_s, -len(row.parts)))
    return Robustness(cases=tuple(ordered), prices=prices, untried=untried)
