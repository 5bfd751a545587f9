"""Why no split will do: the value of each bound at which the others leave one."""

from optimizer.errors import InternalMismatch
from optimizer.questions.pipeline.cut import Found
from optimizer.questions.pipeline.limits import SLACK
from optimizer.questions.pipeline.search import StageSearch
from optimizer.search.rounding import outward
from optimizer.spec.answer import Relaxation
from optimizer.watch import Stopped

_HALVINGS = 6
"""Steps in which the change of a bound that would do is narrowed down."""
Bounds = dict[str, float | None]


def relaxed(search: StageSearch, bounds: Bounds, rule: str) -> Relaxation:
    """A value of one bound at which the others leave a split. Raises Stopped."""
    to, words = None, "no change of it alone is enough"
    outcome = search.best(bounds | {rule: None}, tpot=True)
    if outcome.best is None and not outcome.proven:
        raise Stopped
    if outcome.best is not None:
        need = needed(rule, _nearest(search, bounds, rule, outcome.best))
        to = outward(need * (1 + SLACK), 1)
        if search.best(bounds | {rule: to}, tpot=True).best is None:
            raise InternalMismatch(f"{rule} {to:g} was found to be enough and is not; no answer is given")
        words = _would_do(rule, to)
    unit = "ms" * ("ms" in rule)
    return Relaxation(constraint=rule, sentence=words, from_=bounds[rule], to=to, unit=unit)


def _nearest(search: StageSearch, bounds: Bounds, rule: str, found: Found) -> Found:
    """A split that needs less of a bound that is too tight, by halving; the least TPOT was asked for."""
    least = bounds[rule] or 0.0
    for _ in range(_HALVINGS if rule != "tpot_ms_max" else 0):
        middle = (least + needed(rule, found)) / 2
        outcome = search.best(bounds | {rule: middle}, tpot=True)
        if outcome.best is not None:
            found = outcome.best
        elif outcome.proven:
            least = middle
        else:
            break
    return found


def needed(rule: str, found: Found) -> float:
    """What a split makes of a bound: a latency in ms, or the share of the usable memory."""
    if rule == "memory_capacity":
        return float(max(found.memory(s) / room for s, room in enumerate(found.costs.rooms)))
    return 1e3 * (found.tpot_s if rule == "tpot_ms_max" else found.ttft_s)


def _would_do(rule: str, to: float) -> str:
    if rule == "memory_capacity":
        return f"{to:g} times the usable memory would do"
    return f"{rule.removesuffix('_max')} at most {to:g} ms would do"
