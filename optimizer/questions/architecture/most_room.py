"""The plan with room for the most tokens, and optima of several metrics in turn where one of them is that.

How many tokens a plan holds is no function of one additive quantity, but whether it holds n of them is: the
memory that it takes with n is no more than there is (Dinkelbach, Management Science 13, 1967). From any plan
on, the plan that takes the least memory with one token more than the last has room for is the next; when it
does not fit, no plan has room for more, and the search that found none is the proof.
"""

from collections.abc import Sequence
from dataclasses import replace

from optimizer.columns.rules import Rules
from optimizer.cost.memory_tokens import LONGEST
from optimizer.errors import InternalMismatch
from optimizer.metrics import having, metric
from optimizer.questions.architecture.equals import chosen_among_equals
from optimizer.questions.architecture.frame_rules import symbol, symbol_or_reached
from optimizer.questions.architecture.plan import architecture_of
from optimizer.questions.architecture.search import Outcome, Search
from optimizer.questions.architecture.slice_search import Candidate, Counts
from optimizer.questions.architecture.space import Space
from optimizer.scope import Reached, Symbol
from optimizer.search.steps import held_at
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.spec.studies import Aim
from optimizer.watch import UNWATCHED, Stopped, Watch

SETTLED_BY = "memory_gib"
"""What decides between plans with as much room: the least memory in use."""
_CLOSE = 1e-12


def is_room(name: str) -> bool:
    """Whether a metric is of the tokens that there is room for."""
    return name in having("holding")


def any_symbol(name: str) -> Symbol:
    """A symbol to search by where any plan will do, whatever is asked for."""
    return symbol(SETTLED_BY if is_room(name) else name)


def most_room(
    space: Space,
    rules: Rules,
    name: str,
    watch: Watch = UNWATCHED,
    settings: SolveSettings = SolveSettings(),
    more_than: float | None = None,
) -> tuple[Outcome, Search]:
    """The plan with room for the most tokens, and the last search, which found none with more.

    `more_than`: plans with no more room than this are not wanted. The outcome's key is the tokens, negative.
    """
    rule, counts = f"{name}_min", Counts(frames=space.n_frames)
    search = Search(space, rules, symbol(SETTLED_BY), 1, watch=watch, settings=settings, any_plan=True)
    best, tokens, block = None, more_than or 0.0, 1
    if more_than is not None:
        search = _with_more(search, name, rule, tokens)
    while tokens + block <= LONGEST:
        outcome = search.run()
        counts.add(outcome.counts)
        if outcome.best is None or not outcome.finished:
            found = outcome.best or best
            bound = -tokens if outcome.finished and found is not None else -float(LONGEST)
            return Outcome(best, bound, outcome.finished, counts), search
        own = float(metric(name, "held").held(outcome.best.frame, architecture_of(space, outcome.best)))
        if best is not None and own <= tokens:
            raise InternalMismatch(f"{name}: a plan with room for more than {tokens:g} has room for {own:g}")
        best, tokens = replace(outcome.best, metric=name, sense=-1, key=-own), own
        block = outcome.best.frame.engine.block_tokens
        search = _with_more(search, name, rule, tokens)
    return Outcome(best, -tokens, True, counts), search


def most_tokens(
    space: Space, rules: Rules, name: str, watch: Watch, more_than: float | None = None
) -> float | None:
    """The most tokens that a plan has room for; None if there is no plan with more. Raises Stopped."""
    found, _ = most_room(space, rules, name, watch, more_than=more_than)
    if not found.finished:
        raise Stopped
    return None if found.best is None else -found.best.key


def _with_more(search: Search, name: str, rule: str, tokens: float) -> Search:
    """The search for the plan that takes the least memory of those with room for one token more."""
    reached = symbol_or_reached(name)
    if not isinstance(reached, Reached):
        raise InternalMismatch(f"{name} is not of tokens that there is room for")
    more = max(tokens + 1, float(search.rules.values.get(rule, 0.0)))
    taken = reached.at_least(more).symbol
    return replace(search, rules=search.rules.with_value(rule, more), objective=taken, any_plan=False)


def in_turn(space: Space, rules: Rules, aims: Sequence[Aim], watch: Watch) -> tuple[Candidate | None, Counts]:
    """The best plan in the first aim, of those in the second, and so on; None if there is no plan.

    The first is held at its optimum, one between at its step; of equals the one with the least memory in use.
    Raises Stopped.
    """
    counts = Counts(frames=space.n_frames)
    for number, aim in enumerate(aims):
        if is_room(aim.metric):
            outcome, _ = most_room(space, rules, aim.metric, watch)
        else:
            outcome = Search(space, rules, symbol(aim.metric), aim.sign, watch=watch).run()
        counts.add(outcome.counts)
        if not outcome.finished:
            raise Stopped
        if outcome.best is None and number:
            raise InternalMismatch(f"the optimum is lost when {aim.metric} is optimised after it")
        if outcome.best is None:
            return None, counts
        limit = held_at(aims, number, aim.sign * outcome.best.key)
        noise = 0.0 if is_room(aim.metric) else abs(limit) * _CLOSE
        suffix = "_max" if aim.sign > 0 else "_min"
        rules = rules.with_value(f"{aim.metric}{suffix}", limit + aim.sign * noise)
    last = Search(space, rules, symbol(SETTLED_BY), 1, watch=watch)
    outcome = last.run()
    counts.add(outcome.counts)
    if not outcome.finished:
        raise Stopped
    return chosen_among_equals(last, ()), counts
