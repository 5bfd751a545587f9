"""What it costs to hold when things go wrong: the optimum without each part of it, and without all."""

from collections.abc import Callable
from math import isinf

from optimizer.questions.question import Best
from optimizer.spec.robustness import PriceOf
from optimizer.watch import Stopped

ALL = "robust"


def prices_of(
    best: Best, rules: tuple[str, ...], optimum_without: Callable[[tuple[str, ...]], float | None]
) -> tuple[tuple[PriceOf, ...], tuple[str, ...]]:
    """The price of each part, of a plan that is proven optimal, and the parts there was no time for.

    `optimum_without` some rules may raise Stopped.
    """
    if best.status != "optimal" or best.value is None:
        return (), rules
    ways = {rule: (rule,) for rule in rules} | ({ALL: rules} if len(rules) > 1 else {})
    prices: list[PriceOf] = []
    for name, without in ways.items():
        try:
            value = optimum_without(without)
        except Stopped:
            return tuple(prices), tuple(list(ways)[len(prices) :])
        known = value is not None and not isinf(value)
        cost = best.value - value if known and value is not None else None
        prices.append(PriceOf(without=name, value=value if known else None, difference=cost))
    return tuple(prices), ()
