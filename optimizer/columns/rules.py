"""The rules of a problem: structural constraints by file, metric bounds by name, each with its value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from optimizer.blocks import n_experts, padded, rule_words
from optimizer.blocks.padding import EXACT
from optimizer.cost.frame import Frame, Slice
from optimizer.cost.memory_room import room_gib
from optimizer.cost.memory_tokens import LONGEST
from optimizer.cost.quantities import QUANTITIES
from optimizer.errors import InputError, nearest
from optimizer.metrics import having, metric
from optimizer.plugins import plugins
from optimizer.scope import Relation, Scope
from optimizer.spec.architecture import Architecture
from optimizer.spec.base import Strict
from optimizer.spec.quantity import parse_count, parse_time, spelling
from optimizer.spec.split import Formats

_SUFFIXES = ("_increase_max", "_max", "_min")


@dataclass
class Reference:
    """Metrics of the baseline as published (bf16 weights and cache) on a frame's chip, split and traffic."""

    baseline: Architecture | None
    _known: dict[Any, float] = field(default_factory=dict)

    def value(self, name: str, frame: Frame) -> float:
        """The baseline's metric; computed once per chip, split and batch."""
        key = (name, frame.chip.name, frame.split, frame.batch)
        if key not in self._known:
            self._known[key] = self._compute(name, frame)
        return self._known[key]

    def _compute(self, name: str, frame: Frame) -> float:
        if self.baseline is None:
            raise InputError(f"constraints.{name}_increase_max needs a baseline to compare with")
        module = metric(name)
        own = replace(baseline_frame(frame, self.baseline), formats=Formats())
        total = QUANTITIES[module.QUANTITY].total(own, self.baseline)
        return float(module.value(Slice(own, self.baseline.n_layers), total))


def baseline_frame(frame: Frame, model: Architecture) -> Frame:
    """The frame a published model would have in the place of a plan's."""
    return replace(
        frame,
        d_model=model.d_model,
        vocab_size=model.vocab_size,
        tied_embeddings=model.tied_embeddings,
        position_embeddings=model.position_embeddings,
        final_bias=model.final_bias,
        outer_params=model.outer_params,
    )


@dataclass(frozen=True)
class Rules:
    """Active constraints, name to value, and how to evaluate one on a scope."""

    values: Mapping[str, Any]
    reference: Reference

    def relation(self, name: str, scope: Scope, frame: Frame) -> Relation:
        """The relation of one active constraint."""
        value = self.values[name]
        structural = plugins("constraints")
        if name in structural:
            relation: Relation = structural[name].rule(scope, value)
            return relation
        base, suffix = split_bound(name)
        if suffix == "_min":
            return scope.at_least(scope.metric(base), float(value))
        return scope.at_most(scope.metric(base), self.limit(name, frame))

    def limit(self, name: str, frame: Frame) -> float:
        """The number a metric bound compares with in a frame."""
        base, suffix = split_bound(name)
        value = float(self.values[name])
        return self.reference.value(base, frame) * (1 + value) if suffix == "_increase_max" else value

    def without(self, *names: str) -> "Rules":
        """The rules with some switched off."""
        return replace(self, values={k: v for k, v in self.values.items() if k not in names})

    def only(self, names: Any) -> "Rules":
        """Just these rules."""
        return replace(self, values={k: v for k, v in self.values.items() if k in names})

    def with_value(self, name: str, value: Any) -> "Rules":
        """The rules with one value added or changed."""
        return replace(self, values={**self.values, name: value})


def split_bound(name: str) -> tuple[str, str]:
    """'tpot_ms_max' -> ('tpot_ms', '_max'); ('', '') if it is no metric bound."""
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix), suffix
    return "", ""


FACTS: dict[str, Callable[[Frame], Any]] = {
    "d_model": lambda frame: frame.d_model,
    "tensor_parallel": lambda frame: frame.split.tensor_parallel,
    "network_ranks": lambda frame: frame.split.tensor_parallel,
    "batch": lambda frame: frame.batch,
    "vocab_size": lambda frame: frame.vocab_size,
    "scaleup_domain": lambda frame: frame.chip.scaleup.domain,
    "alignment": lambda frame: frame.chip.aligned(frame.formats.weight_dtype),
    "room_gib": lambda frame: room_gib(frame.chip, frame.engine),
}
"""The facts of a frame that rules may name."""


def frame_values(frame: Frame) -> dict[str, Any]:
    """The facts of a frame."""
    return {name: fact(frame) for name, fact in FACTS.items()}


def of_shares(name: str) -> bool:
    """Whether a rule is about what ranks hold: it sees numbers as the engine rounds them up."""
    return bool(getattr(plugins("constraints").get(name), "OF_SHARES", False))


def layer_words(frame: Frame, architecture: Architecture, rule: str) -> list[dict[str, Any]]:
    """What a rule may name, for each group of layers; a missing half has the words of the other layers'."""
    padding = frame.padding if of_shares(rule) else EXACT
    halves = [(g.block.mixer, g.block.ffn) for g in architecture.layers]
    held = [[padded(half, frame.split, padding) for half in own] for own in halves]
    groups = [rule_words(mixer) | rule_words(ffn) for mixer, ffn in held]
    anywhere = {name: value for group in reversed(groups) for name, value in group.items()}
    facts = {**frame_values(frame), "n_layers": architecture.n_layers}
    own = [
        {"network_ranks": frame.split.network_ranks} if n_experts(g.block.ffn) else {}
        for g in architecture.layers
    ]
    return [facts | anywhere | group | ranks for group, ranks in zip(groups, own, strict=True)]


def lattice_only(name: str) -> bool:
    """Whether a rule shapes a lattice and a published model is not held to it."""
    return bool(getattr(plugins("constraints").get(name), "LATTICE_ONLY", False))


def default_values(published: bool) -> dict[str, Any]:
    """The rules that are on when a problem says nothing."""
    return {
        name: module.DEFAULT
        for name, module in plugins("constraints").items()
        if module.DEFAULT is not None and not (published and lattice_only(name))
    }


def resolve_rules(
    given: Mapping[str, Any], window: Sequence[float] | None, reference: Reference, published: bool
) -> Rules:
    """Defaults, then what is given; a published model is not held to shape bands by default.

    `window`: the least and the most parameters, if a number of them is asked for.
    """
    structural = plugins("constraints")
    values = default_values(published)
    if window is not None:
        values["parameter_window"] = list(window)
    for name, value in given.items():
        if value is False and (name in structural or split_bound(name)[0] in plugins("objectives")):
            values.pop(name, None)
        else:
            values[name] = _checked(name, value, reference)
    return Rules(values, reference)


def _checked(name: str, value: Any, reference: Reference) -> Any:
    structural = plugins("constraints")
    where = f"constraints.{name}"
    if name in structural:
        module = structural[name]
        if value is True and module.DEFAULT is not None:
            return module.DEFAULT
        try:
            return _value_model(name).model_validate({"value": value}).value  # type: ignore[attr-defined]
        except ValidationError as error:
            raise InputError(
                f"{where}: {str(value)[:60]!r} is not accepted; {module.ACCEPTS} ({error.errors()[0]['msg']})"
            ) from None
    base, suffix = split_bound(name)
    metrics = plugins("objectives")
    if base not in metrics:
        held = having("holding")
        bounds = [f"{m}{s}" for m in metrics for s in ("_max", "_min") if s == "_min" or m not in held]
        known = [*structural, *bounds]
        hint = nearest(name, known) or f" Accepted: {', '.join(known)}."
        raise InputError(f"{where}: no constraint of that name.{hint}")
    if hasattr(metrics[base], "holding") and suffix != "_min":
        raise InputError(f"{where}: {base} is bounded from below alone; use {base}_min")
    number = _number(value, "" if suffix == "_increase_max" else metrics[base].UNIT, where)
    if suffix != "_increase_max" and (number < 0 or (number == 0 and suffix == "_max")):
        raise InputError(f"{where}: {number:g} is below every plan's; give a positive number")
    if hasattr(metrics[base], "holding") and number > LONGEST:
        raise InputError(f"{where}: {number:g} is more than any plan holds; at most {LONGEST} tokens")
    if suffix == "_increase_max" and reference.baseline is None:
        raise InputError(f"{where}: needs a baseline to compare with")
    return number


@cache
def _value_model(name: str) -> type[BaseModel]:
    """A model with one field of the type of a structural rule's value, in which true is no number."""
    kind: Any = plugins("constraints")[name].Value
    return create_model("Value", __base__=Strict, value=(kind, ...))


def _number(value: Any, unit: str, where: str) -> float:
    """A bound in the unit of its metric: a number, or text that says its own unit."""
    try:
        if isinstance(value, str) and unit == "ms":
            value = parse_time(value, unit)
        elif isinstance(value, str) and unit in ("parameters", "tokens"):
            value = parse_count(value)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        hint = spelling(value) if isinstance(value, str) else ""
        raise InputError(f"{where}: {str(value)[:60]!r} is not a number{' of ' * bool(unit)}{unit}{hint}")
    return float(value)
