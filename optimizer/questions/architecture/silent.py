"""Rules that say nothing of some kinds of layer: an answer names them; asked for, they are refused."""

from collections.abc import Mapping
from typing import Any

from optimizer.blocks import block
from optimizer.columns.rules import FACTS, Rules
from optimizer.errors import InputError
from optimizer.plugins import plugins
from optimizer.questions.architecture.kinds import Kinds
from optimizer.scope import Scope, Unsaid


def says_nothing(rules: Rules, attention: Kinds, ffn: Kinds, given: Mapping[str, Any]) -> dict[str, str]:
    """The rules in force that are not about these kinds, each with the reason.

    A rule is not about a kind whose file says so (`OUTSIDE`), nor about layers that lack a word it names. One
    that the problem itself gives holds whatever a file says of it; InputError if it cannot be told.
    """
    words = {**attention.take(slice(1)).words(), **ffn.take(slice(1)).words()}
    outside = {
        rule: f"{half.kind}: {why}" for half in (attention, ffn) for rule, why in _outside(half).items()
    }
    found: dict[str, str] = {}
    for name in rules.values:
        if name in outside and given.get(name, False) is False:
            found[name] = outside[name]
        elif missing := _missing(rules, name, words):
            if given.get(name, False) is not False:
                raise InputError(
                    f"constraints.{name}: names {missing}, which layers of {attention.kind} and "
                    f"{ffn.kind} do not have; leave it out"
                )
            found[name] = f"{attention.kind} and {ffn.kind} have no {missing}"
    return found


def _outside(half: Kinds) -> Mapping[str, str]:
    said: Mapping[str, str] = getattr(block(half), "OUTSIDE", {})
    return said


def _missing(rules: Rules, name: str, words: Mapping[str, Any]) -> str:
    """The word that a rule on shapes names and layers do not have; '' if they have all."""
    module = plugins("constraints").get(name)
    if module is None:
        return ""
    facts = dict.fromkeys(FACTS, 1) | {"n_layers": 1}
    try:
        module.rule(Scope(facts | dict(words), lambda metric: 1.0), rules.values[name])
    except Unsaid as error:
        return str(error.args[0])
    return ""
