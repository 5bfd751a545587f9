"""What an architecture's rules leave: plans under some of them, and what each would have to become.

Each relaxation is verified by solving again with it.
"""

from typing import Any

from optimizer import catalog
from optimizer.anatomy.check import check
from optimizer.columns.rules import Rules, split_bound
from optimizer.cost.memory_room import room_gib
from optimizer.metrics import unit as unit_of
from optimizer.plugins import plugins
from optimizer.questions.architecture.most_room import any_symbol, is_room, most_tokens
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.slice_search import Candidate
from optimizer.questions.architecture.space import Space, resolve
from optimizer.search.rounding import outward
from optimizer.spec.answer import Relaxation
from optimizer.watch import UNWATCHED, Stopped, Watch

_COUPLING = ("parameter_window", "memory_capacity")
"""Structural rules that are about whole plans, not about the dimensions of one layer kind."""


def feasible_around(space: Space, trial: frozenset[str], watch: Watch) -> frozenset[str] | None:
    """A feasible set of rules around the trial, or None. With the rules on dimensions first: fewer kinds."""
    structural = plugins("constraints")
    dimensions = frozenset(n for n in space.rules.values if n in structural and n not in _COUPLING)
    for rules in dict.fromkeys((trial | dimensions, trial)):
        plan = find_plan(space, space.rules.only(rules), watch)
        if plan is not None:
            return rules | kept_by(space, plan)
    return None


def kept_by(space: Space, plan: Candidate) -> frozenset[str]:
    """The rules of a space that a plan keeps."""
    attention, ffn = space.attention.take(plan.attention), space.ffn.take(plan.ffn)
    if space.illegal(attention, ffn):
        return frozenset()
    architecture = space.architecture_of(plan.frame, plan.n_layers, attention, ffn)
    broken = check(plan.frame, architecture, space.rules).broken
    return frozenset(space.rules.values) - set(broken)


def find_plan(space: Space, rules: Rules, watch: Watch = UNWATCHED) -> Candidate | None:
    """Any plan under these rules, or None if there is none. Raises Stopped."""
    name, sense = space.problem.objectives[0]
    return _search(space, rules, name, sense, watch, any_plan=True)


def _search(
    space: Space, rules: Rules, name: str, sense: int, watch: Watch, any_plan: bool = False
) -> Candidate | None:
    outcome = Search(space, rules, any_symbol(name), sense, watch=watch, any_plan=any_plan).run()
    if not outcome.finished:
        raise Stopped
    return outcome.best


def relax(space: Space, name: str, watch: Watch) -> Relaxation:
    """The nearest change of one rule, all others kept, that leaves a plan."""
    if name == "parameter_window":
        return _relax_window(space, watch)
    if name == "memory_capacity":
        return _relax_memory(space, watch)
    if name in plugins("constraints"):
        return _relax_structural(space, name, watch)
    return _relax_bound(space, name, watch)


def _relax_bound(space: Space, name: str, watch: Watch) -> Relaxation:
    base, suffix = split_bound(name)
    unit, old = unit_of(base), space.rules.values[name]
    sense = -1 if suffix == "_min" else 1
    if is_room(base):
        to = most_tokens(space, space.rules.without(name), base, watch)
        if to is None:
            return _none(name, old, unit)
        words = f"{base} at least {to:,.0f} {unit} would do"
        return _verified(space, name, to, words, unit, watch)
    best = _search(space, space.rules.without(name), base, sense, watch)
    if best is None:
        return _none(name, old, unit)
    reached = sense * best.key
    if suffix == "_increase_max":
        reference = space.rules.reference.value(base, best.frame)
        new = outward(reached / reference - 1, sense)
        sentence = f"{base} at most {new:+.3%} above the baseline's ({reached:.5g} {unit}) would do"
    else:
        new = outward(reached, sense)
        word = "at least" if suffix == "_min" else "at most"
        sentence = f"{base} {word} {new:g} {unit} would do"
    return _verified(space, name, new, sentence, unit, watch)


def _relax_window(space: Space, watch: Watch) -> Relaxation:
    low, high = space.rules.values["parameter_window"]
    free = space.rules.without("parameter_window")
    below = _search(space, _narrow(free, "n_params_max", low, min), "n_params", -1, watch)
    above = _search(space, _narrow(free, "n_params_min", high, max), "n_params", 1, watch)
    found = [abs(c.key) for c in (below, above) if c is not None]
    if not found:
        return _none("parameter_window", [low, high], "parameters")
    middle = (low + high) / 2
    nearest = min(found, key=lambda n: abs(n - middle))
    new = [min(low, nearest), max(high, nearest)]
    sentence = f"n_params {nearest / 1e9:.4g}B, {nearest / middle - 1:+.2%} from the target, would do"
    return _verified(space, "parameter_window", new, sentence, "parameters", watch)


def _narrow(rules: Rules, name: str, value: float, choose: Any) -> Rules:
    old = rules.values.get(name, value)
    return rules.with_value(name, choose(old, value))


def _relax_memory(space: Space, watch: Watch) -> Relaxation:
    best = _search(space, space.rules.without("memory_capacity"), "memory_gib", 1, watch)
    share = space.rules.values["memory_capacity"]
    if best is None:
        return _none("memory_capacity", share, "of hbm_usable")
    room = room_gib(best.frame.chip, best.frame.engine)
    sentence = (
        f"{outward(best.key, 1):g} GiB on each {best.frame.chip.name} would do; it has {room:g} GiB usable"
    )
    enough = space.rules.with_value("memory_capacity", outward(best.key / room, 1))
    if find_plan(space, enough, watch) is None:
        return _none("memory_capacity", share, "of hbm_usable")
    return _relaxation("memory_capacity", share * room, outward(best.key, 1), sentence, "GiB")


def _relax_structural(space: Space, name: str, watch: Watch) -> Relaxation:
    module, old = plugins("constraints")[name], space.rules.values[name]
    for value in module.weaker(old) if hasattr(module, "weaker") else []:
        if find_plan(space, space.rules.with_value(name, value), watch):
            return _relaxation(name, old, value, f"{name}: {value} would do", "")
    if find_plan(space, space.rules.without(name), watch):
        return _relaxation(name, old, False, f"switching {name} off would do", "")
    return _none(name, old, "")


def relax_deployment(space: Space, watch: Watch) -> list[Relaxation]:
    """Other choices of deployment that leave a plan with every rule kept: ranks, weights, an engine."""
    domain = max(chip.scaleup.domain for chip in space.chips)
    deployment = space.problem.deployment
    most = max(deployment.tensor_parallel)
    wider: dict[str, list[Any]] = {
        "tensor_parallel": [n for n in (2, 4, 8, 16, 32, 64) if most < n <= domain],
        "weight_dtype": [d for d in ("fp8", "int4") if d not in deployment.formats.weight_dtype],
    }
    found = []
    for name, values in wider.items():
        old = getattr(deployment, name)
        for value in values:
            other = resolve(space.problem.changed(deployment=deployment.changed(**{name: (value,)})))
            if find_plan(other, other.rules, watch):
                shown = list(old) if len(old) > 1 else old[0]
                found.append(_relaxation(f"deployment.{name}", shown, value, f"{name} {value} would do", ""))
                break
    return [*found, *_relax_engine(space, watch)]


def _relax_engine(space: Space, watch: Watch) -> list[Relaxation]:
    """Engines with unequal shares, where whole shares on every rank are what leaves no plan."""
    rule, deployment = "tensor_parallel_divisibility", space.problem.deployment
    if rule not in space.rules.values or find_plan(space, space.rules.without(rule), watch) is None:
        return []
    others = [name for name, own in catalog.engines().items() if {*own.pads} - {"experts"}]
    names: list[str] = []
    for name in (name for name in others if name != space.engine.name):
        other = resolve(space.problem.changed(deployment=deployment.changed(engine=name)))
        names += [name] if find_plan(other, other.rules, watch) else []
    if not names:
        return []
    sentence = f"engine {' or '.join(names)} would do: ranks may have unequal shares"
    return [_relaxation("deployment.engine", space.engine.name, names[0], sentence, "")]


def _verified(space: Space, name: str, value: Any, sentence: str, unit: str, watch: Watch) -> Relaxation:
    old = space.rules.values[name]
    if find_plan(space, space.rules.with_value(name, value), watch) is None:
        return _none(name, old, unit)
    return _relaxation(name, old, value, sentence, unit)


def _relaxation(name: str, old: Any, new: Any, sentence: str, unit: str) -> Relaxation:
    return Relaxation(constraint=name, sentence=sentence, from_=old, to=new, unit=unit)


def _none(name: str, old: Any, unit: str) -> Relaxation:
    return _relaxation(name, old, None, f"no change of {name} alone would do", unit)
