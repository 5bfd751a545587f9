"""Why no fleet will do: what some rules leave, and the nearest value of each rule that would do."""

import math
from dataclasses import replace

from optimizer.columns.scenarios import part_of
from optimizer.errors import InputError
from optimizer.metrics import scale
from optimizer.questions.deployment.nearest import nearest_part
from optimizer.questions.deployment.words import sentence
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.columns import items_of
from optimizer.questions.fleet.edits import SERVICE
from optimizer.questions.fleet.pricing import quality_of
from optimizer.questions.fleet.vocabulary import FleetVocabulary, Goal
from optimizer.questions.fleet.whole import plan_fleet
from optimizer.questions.question import Ask
from optimizer.search.conflict import Names
from optimizer.search.rounding import outward
from optimizer.spec.answer import Relaxation
from optimizer.watch import Stopped, Watch

_STEPS = 10_000
_NOISE = 1e-9


def kept_by_a_fleet(asked: FleetVocabulary, names: Names, watch: Watch) -> Names | None:
    """The rules that some fleet under these rules keeps; None if there is no such fleet. Raises Stopped."""
    without = tuple(rule for rule in asked.rules() if rule not in names)
    if not any(name.startswith(SERVICE) for name in names):
        return names | frozenset(rule for rule in asked.rules() if not rule.startswith(SERVICE))
    goal = (asked.problem.minimize or "chips", 1)
    found, columns = asked.planned(Ask(aims=(), without=without), goal, watch)
    if found.proved.status == "unknown":
        raise Stopped
    if found.proved.status == "infeasible":
        return None
    columns = replace(columns, wrong=None)
    broken = FleetCheck(columns, found.replicas, found.shares).broken(asked.bounds, everything=False)
    return names | {rule for rule in asked.bounds if rule not in broken}


def require_whole(asked: FleetVocabulary, name: str) -> None:
    """InputError if a service cannot run on any number of chips, whatever its requests must keep."""
    service = asked.columns.names.index(name)
    own = enumerate(asked.fleet.buckets[service])
    items = [item for model, buckets in own for item in items_of(service, buckets, {}, (), model)[0]]
    free = tuple(quality_of(one, {}) for one in asked.problem.services)
    columns = replace(asked.columns, items=tuple(items), qualities=free, cases=(), wrong=None)
    found = plan_fleet(columns, ("chips", 1), {}, frozenset({service}), asked.settings, asked.watch)
    if found.proved.status == "infeasible":
        raise InputError(
            f"services: {name}: no whole replica for all its traffic: each bucket needs an aggregated "
            "configuration, or a prefill and a decode one, all of one kv_dtype"
        )


def without_service(asked: FleetVocabulary, rule: str, watch: Watch) -> Relaxation:
    """Whether the others fit where a service is left out."""
    rest = len(asked.problem.services) > 1
    does = rest and _possible(asked, Ask(aims=(), without=(rule,)), watch)
    words = "without it the others fit" if does else "no fleet without it either"
    return Relaxation(constraint=rule, sentence=words, from_=None, to=None, unit="")


def relaxed(asked: FleetVocabulary, rule: str, watch: Watch) -> Relaxation:
    """The nearest value of one bound on the fleet that leaves a fleet, all others kept."""
    quantity = rule if rule.startswith("inventory:") else rule.removesuffix("_max")
    goal = (quantity, 1)
    found = asked.planned(Ask(aims=(), without=(rule,)), goal, watch)[0].proved
    to = None if found.objective is None else found.objective / scale(quantity)
    if to is not None and scale(quantity) > 1:
        to = outward(to, 1)
    if to is not None and not _possible(asked, Ask(aims=(), values={rule: to}), watch, goal):
        to = None
    words = "no change of it alone is enough" if to is None else sentence(rule, to)
    return Relaxation(constraint=rule, sentence=words, from_=asked.bounds[rule], to=to, unit="")


def lower_quality(asked: FleetVocabulary, rule: str, watch: Watch) -> Relaxation:
    """The highest mean quality of a service, in steps of 0.0001, that leaves a fleet, all else kept."""
    limit = asked.rules()[rule]
    low, high = -1, math.ceil(limit * _STEPS - _NOISE)
    while high - low > 1:  # low does, and high does not; -1 stands for nothing known
        middle = (low + high) // 2
        if _possible(asked, Ask(aims=(), values={rule: middle / _STEPS}), watch):
            low = middle
        elif middle == 0:
            break
        else:
            high = middle
    to = None if low < 0 else low / _STEPS
    words = "no change of it alone is enough" if to is None else f"quality_min {to:g} would do"
    return Relaxation(constraint=rule, sentence=words, from_=limit, to=to, unit="")


def milder(asked: FleetVocabulary, rule: str, watch: Watch) -> Relaxation:
    """How far a part may go wrong and some fleet holds, no further than is asked for, all else kept."""
    own, part, limit = asked.uncertain, part_of(rule) or "", asked.levels[rule]
    to = nearest_part(own, part, limit, lambda x: _possible(asked, Ask(aims=(), values={rule: x}), watch))
    words = "no change of it alone is enough" if to is None else sentence(rule, to, robust=own)
    return Relaxation(constraint=rule, sentence=words, from_=limit, to=to, unit="")


def _possible(asked: FleetVocabulary, ask: Ask, watch: Watch, goal: Goal = ("chips", 1)) -> bool:
    return asked.planned(ask, goal, watch)[0].proved.status != "infeasible"
