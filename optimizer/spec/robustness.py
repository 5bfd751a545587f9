"""What a plan that must hold when things go wrong says of it: each case, and what holding costs."""

from optimizer.spec.base import Strict


class WhenWrong(Strict):
    """What goes wrong at the same time, and what the plan then serves."""

    case: str
    """In words."""
    parts: tuple[str, ...]
    """Of `robust`, at their worst."""
    requests_per_s: float
    """Of the traffic asked for: what is served over what comes for each of it."""
    to_spare: float | None
    """Of the traffic asked for, as a share; null where none is."""


class PriceOf(Strict):
    """The optimum without a part, or without all of them."""

    without: str
    value: float | None
    """Of the first objective; null where nothing else limits it."""
    difference: float | None
    """The optimum with it less that without: what it costs."""


class Robustness(Strict):
    """What the plan stands, the tightest case first, and the price of it."""

    cases: tuple[WhenWrong, ...] = ()
    prices: tuple[PriceOf, ...] = ()
    untried: tuple[str, ...] = ()
    """Parts that were not left out: there was no time, or the optimum is not proven."""
