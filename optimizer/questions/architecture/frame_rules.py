"""The rules of a problem in one frame, split by what they decide.

Rules on dimensions decide before the solver: which depths, which attention kinds and which feed-forward
kinds are left, and which pairs are not allowed together. Rules on metrics stay as bounds. Results are
kept per constraint and per value of the frame facts that it named, so that a thousand frames cost a
handful of evaluations.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.blocks import padded
from optimizer.columns.rules import Rules, frame_values, of_shares
from optimizer.cost.frame import Frame
from optimizer.cost.memory_tokens import share_taken
from optimizer.metrics import having, metric, tokens_held
from optimizer.plugins import plugins
from optimizer.questions.architecture.space import Space
from optimizer.scope import AnyOf, Bound, Reached, Relation, Scope, Symbol, conjuncts


def symbol(name: str) -> Symbol:
    """A metric as a symbol of a row."""
    module = metric(name)
    return Symbol(name, module.QUANTITY, module.RISES, module.value)


def symbol_or_reached(name: str) -> Symbol | Reached:
    """The same, or of tokens that there is room for: bounds on the memory of plans that hold so many."""
    if name not in having("holding"):
        return symbol(name)

    def at_least(tokens: float) -> Bound:
        own = tokens_held(name, tokens)
        taken = Symbol(own, own, True, lambda at, held: share_taken(at.frame, held))
        return Bound(taken, -np.inf, 1.0)

    return Reached(name, at_least)


@dataclass(frozen=True)
class FrameRules:
    """What is left of the lattice in one frame, and what still has to be met."""

    depths: np.ndarray
    """Rows of Space.depths, ascending."""
    attention: np.ndarray
    """Rows of Space.attention."""
    ffn: np.ndarray
    """Rows of Space.ffn, ascending."""
    pairs: tuple[tuple[str, np.ndarray], ...]
    """(constraint, mask of shape (D or 1, A or 1, F or 1) over the whole lattice)."""
    bounds: tuple[tuple[str, Bound], ...]
    choices: tuple[tuple[str, AnyOf], ...]

    @property
    def kinds(self) -> tuple[int, int]:
        """Tells equal sets of kinds left: the arrays are made once a space and set of rules."""
        return id(self.attention), id(self.ffn)

    @property
    def alive(self) -> bool:
        """Whether any point is left before bounds."""
        return bool(len(self.depths) and len(self.attention) and len(self.ffn))


class Compiler:
    """Evaluates a problem's rules frame by frame."""

    def __init__(self, space: Space, rules: Rules) -> None:
        self.space, self.rules = space, rules
        self._values = {name: repr(value) for name, value in rules.values.items()}
        self._structural = plugins("constraints")
        self._cache: dict[Any, _Parts] = space.memo["parts"]
        self._touched: dict[Any, tuple[str, ...]] = space.memo["touched"]
        self._masks: dict[Any, Any] = space.memo["masks"]
        self._decides: set[str] = set()
        self._kinds: dict[Any, dict[str, Any]] = {None: self._named(space.attention, space.ffn)}

    def _named(self, attention: Any, ffn: Any) -> dict[str, Any]:
        """What rules may name of depths and kinds, each on its own axis."""
        return {
            "n_layers": self.space.depths[:, None, None],
            **{name: values[None, :, None] for name, values in attention.words().items()},
            **{name: values[None, None, :] for name, values in ffn.words().items()},
        }

    def _words(self, rule: str, frame: Frame) -> dict[str, Any]:
        """What a rule may name of depths and kinds in a frame: of shares, as the engine rounds them up."""
        split, padding = frame.split, frame.padding
        if not (padding and of_shares(rule)):
            return self._kinds[None]
        if split not in self._kinds:
            halves = (padded(half, split, padding) for half in (self.space.attention, self.space.ffn))
            self._kinds[split] = self._named(*halves)
        return self._kinds[split]

    def compile(self, frame: Frame) -> FrameRules:
        """The rules in one frame."""
        facts = frame_values(frame)
        static: list[_Static] = []
        bounds: list[tuple[str, Bound]] = []
        choices: list[tuple[str, AnyOf]] = []
        for name in self.rules.values:
            parts = self._parts(name, frame, facts)
            static += parts.static
            bounds += parts.bounds
            choices += parts.choices
        depths, attention, ffn = self._axes(static)
        pairs = tuple((part.name, part.mask) for part in static if part.couples)
        return FrameRules(depths, attention, ffn, pairs, tuple(bounds), tuple(choices))

    def at_widths(self, setting: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Depths, attention kinds and feed-forward kinds that the rules on one axis leave at each width.

        `setting.d_model` has shape (W,); the masks (W, D), (W, A), (W, F). What `compile` says of each width.
        """
        widths = setting.d_model.astype(np.int64)
        keep = [np.ones((len(widths), n), dtype=bool) for n in self._sizes()]
        for name in self.rules.values:
            if name not in self._structural:
                continue
            for mask in self._masks_at(name, setting, widths):
                mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
                axis = _axis(mask[0])
                if axis is not None:
                    keep[axis] &= mask.reshape(len(mask), -1)
                elif mask[0].size == 1:
                    keep[0] &= mask.reshape(len(mask), 1)
        return keep[0], keep[1], keep[2]

    def _masks_at(self, name: str, setting: Frame, widths: np.ndarray) -> list[np.ndarray]:
        """The masks of one rule, the widths as a first axis of four where they matter."""

        def masks(d_model: Any) -> list[np.ndarray]:
            facts = frame_values(replace(setting, d_model=d_model))
            scope = Scope({**facts, **self._words(name, setting)}, symbol_or_reached)
            relation = self.rules.relation(name, scope, setting)
            return [part for part in conjuncts(relation) if isinstance(part, np.ndarray)]

        try:
            return masks(widths[:, None, None, None])
        except (TypeError, ValueError):  # a rule that compares a metric with the width
            each = [masks(int(width)) for width in widths]
            return [np.stack([np.atleast_3d(mask) for mask in same]) for same in zip(*each, strict=True)]

    def static_key(self, frame: Frame) -> tuple[Any, ...]:
        """What decides which kinds are left in a frame, d_model apart: rules on dimensions, and facts."""
        facts = frame_values(frame)
        rules = tuple((name, self._values[name]) for name in sorted(self._decides))
        named = {fact for rule in rules for fact in self._touched[rule]} - {"d_model"}
        return (*rules, *(facts[name] for name in sorted(named)))

    def holds_at_every_width(self, name: str) -> bool:
        """Whether a rule's limits are the same at every d_model, so that one compilation serves all."""
        return "d_model" not in self._touched.get((name, self._values[name]), ())

    def _parts(self, name: str, frame: Frame, facts: dict[str, Any]) -> "_Parts":
        if name not in self._structural:  # a metric bound: its limit may depend on the frame
            return _Parts.of(name, self.rules.relation(name, Scope(facts, symbol_or_reached), frame))
        rule = (name, self._values[name])
        touched = self._touched.get(rule)
        found = self._cache.get((rule, *(facts[t] for t in touched))) if touched is not None else None
        if found is None:
            scope = Scope({**facts, **self._words(name, frame)}, symbol_or_reached)
            found = _Parts.of(name, self.rules.relation(name, scope, frame))
            touched = tuple(sorted(t for t in scope.touched if t in facts))
            self._touched[rule] = touched
            self._cache[(rule, *(facts[t] for t in touched))] = found
        if found.static:
            self._decides.add(name)
        return found

    def _axes(self, static: "list[_Static]") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fold masks on one axis into index arrays: rows of depths, attention and feed-forward kinds."""
        key = tuple(id(part) for part in static)
        found = self._masks.get(key)
        if found is None:
            keep = [np.ones(n, dtype=bool) for n in self._sizes()]
            for part in static:
                if part.axis is not None:
                    keep[part.axis] &= part.mask.reshape(-1)
                elif part.mask.size == 1 and not part.mask.reshape(-1)[0]:
                    keep[0][:] = False
            depths, attention, ffn = (np.flatnonzero(k) for k in keep)
            found = (depths, attention, ffn, static)  # holding the parts keeps their ids theirs
            self._masks[key] = found
        depths, attention, ffn, _ = found
        return depths, attention, ffn

    def _sizes(self) -> tuple[int, int, int]:
        return len(self.space.depths), len(self.space.attention), len(self.space.ffn)


@dataclass(frozen=True, eq=False)
class _Static:
    """A mask over the lattice, and the one axis it is about, None if it is about several or none."""

    name: str
    mask: np.ndarray
    axis: int | None

    @property
    def couples(self) -> bool:
        """Whether it is about pairs."""
        return self.axis is None and self.mask.size > 1


@dataclass(frozen=True, eq=False)
class _Parts:
    """One rule in one frame: what must all hold, by kind."""

    static: tuple[_Static, ...]
    bounds: tuple[tuple[str, Bound], ...]
    choices: tuple[tuple[str, AnyOf], ...]

    @classmethod
    def of(cls, name: str, relation: Relation) -> "_Parts":
        """Sort the conjuncts of a relation."""
        parts = conjuncts(relation)
        return cls(
            tuple(_Static(name, part, _axis(part)) for part in parts if isinstance(part, np.ndarray)),
            tuple((name, part) for part in parts if isinstance(part, Bound)),
            tuple((name, part) for part in parts if isinstance(part, AnyOf)),
        )


def _axis(mask: np.ndarray) -> int | None:
    long = [i for i, n in enumerate(mask.shape) if n > 1]
    return long[0] if len(long) == 1 else None


def pair_mask(rules: FrameRules, depth: int, attention: np.ndarray, ffn: np.ndarray) -> np.ndarray:
    """Which of these attention x ffn rows the rules on several axes allow at one depth; shape (A, F)."""
    allowed = np.ones((len(attention), len(ffn)), dtype=bool)
    for _, mask in rules.pairs:
        allowed &= pick(mask, depth, attention, ffn)
    return allowed


def pick(mask: np.ndarray, depth: int, attention: np.ndarray, ffn: np.ndarray) -> np.ndarray:
    """One depth and some rows of a lattice mask; broadcastable to (A, F)."""
    mask = mask.reshape((1,) * (3 - mask.ndim) + mask.shape)  # facts of the frame alone have no axes
    part = mask[depth if mask.shape[0] > 1 else 0]
    part = part[attention] if part.shape[0] > 1 else part
    return np.asarray(part[:, ffn] if part.shape[1] > 1 else part)
