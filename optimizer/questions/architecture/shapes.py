"""What the rules on dimensions leave at each width of a setting: depths, parameter counts, narrowest layers.

All widths are looked at together; the rules are evaluated with the widths as one axis more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.blocks import block, least
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import QUANTITIES
from optimizer.questions.architecture.frame_rules import Compiler
from optimizer.questions.architecture.kinds import Kinds
from optimizer.questions.architecture.space import Space

_CELLS = 2**21
"""Widths x kinds looked at together."""


@dataclass(frozen=True)
class Shapes:
    """What is left at each width; zeros where nothing is."""

    depths: np.ndarray
    """Allowed widths x depths, shape (D, L)."""
    low: np.ndarray
    """Fewest parameters, shape (D, L)."""
    high: np.ndarray
    vector: np.ndarray
    """Parameters of a layer outside matrices, at most, shape (D,)."""
    unmet: np.ndarray
    """Parameters of a layer in matrices or experts that are no product's, at most."""
    mixers: Kinds
    """The narrowest of each group (`blocks.least`), shape (G, D); groups that a width lacks repeat others."""
    ffn: Kinds
    """The narrowest, shape (D,)."""


def shapes(space: Space, compiler: Compiler, setting: Frame) -> Shapes:
    """The shapes of a setting, whose d_model is an array of shape (D,)."""
    parts = [_some(space, compiler, part) for part in _runs(space, setting)]
    if len(parts) == 1:
        return parts[0]
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("depths", "low", "high", "vector", "unmet")
    }
    mixers, ffn = _beside([part.mixers for part in parts]), _beside([part.ffn for part in parts])
    return Shapes(**joined, mixers=mixers, ffn=ffn)


def _runs(space: Space, setting: Frame) -> Iterator[Frame]:
    step = max(1, _CELLS // (len(space.attention) + len(space.ffn)))
    for start in range(0, len(setting.d_model), step):
        yield replace(setting, d_model=setting.d_model[start : start + step])


def _some(space: Space, compiler: Compiler, setting: Frame) -> Shapes:
    depths, attention, ffn = compiler.at_widths(setting)
    alive = np.asarray(depths.any(axis=1) & attention.any(axis=1) & ffn.any(axis=1))
    mixers, attention = _used(space.attention, attention)
    ffns, ffn = _used(space.ffn, ffn)
    across = replace(setting, d_model=setting.d_model[:, None])
    n, layers = QUANTITIES["n_params"], space.depths.astype(float)
    p_a = np.broadcast_to(n.mixer(across, mixers, space.architecture.norms), attention.shape)
    p_f = np.broadcast_to(np.asarray(n.ffn(across, ffns), dtype=float), ffn.shape)
    base = np.broadcast_to(n.base(setting), alive.shape)[:, None]
    fewest, most = (_least(sign * p_a, attention) + _least(sign * p_f, ffn) for sign in (1, -1))
    outside, unmet = (
        a + f
        for a, f in zip(
            _outside_matrices(p_a, mixers, attention, across.d_model),
            _outside_matrices(p_f, ffns, ffn, across.d_model),
            strict=True,
        )
    )

    def known(values: np.ndarray) -> np.ndarray:
        return np.where(alive.reshape((-1,) + (1,) * (values.ndim - 1)), values, 0)

    return Shapes(
        depths & alive[:, None],
        known(base + layers * np.where(alive, fewest, 0.0)[:, None]),
        known(base - layers * np.where(alive, most, 0.0)[:, None]),
        known(np.where(alive, outside, 0.0)),
        known(np.where(alive, unmet, 0.0)),
        _narrowest(mixers, attention, alive),
        _narrowest(ffns, ffn, alive).take(0),
    )


def _used(kinds: Any, kept: np.ndarray) -> tuple[Any, np.ndarray]:
    """The kinds that some width keeps, and which of them each does: of most lattices one in four.

    One is left where no width keeps any.
    """
    some = np.flatnonzero(kept.any(axis=0))
    some = some if len(some) else np.arange(1)
    return kinds.take(some), kept[:, some]


def _least(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The least of what is kept at each width, shape (D,); inf where nothing is."""
    return np.asarray(np.min(values, axis=1, where=kept, initial=np.inf))


def _outside_matrices(
    n_params: np.ndarray, kinds: Kinds, kept: np.ndarray, width: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Most parameters of a layer half that lie in no matrix, and most of others in no product; (D,) each."""
    outside, unmet = _stored(n_params, kinds, width)
    most = -_least(np.broadcast_to(-outside, kept.shape), kept)
    if not np.any(unmet):
        return most, np.zeros(len(kept))
    return most, -_least(np.broadcast_to(-unmet, kept.shape), kept)


def outside_matrices(n_params: np.ndarray, kinds: Kinds, width: float) -> tuple[float, float]:
    """The same of all kinds, at one width."""
    outside, unmet = _stored(n_params, kinds, width)
    return float(np.max(outside)), float(np.max(unmet))


def _stored(n_params: np.ndarray, kinds: Kinds, width: Any) -> tuple[Any, Any]:
    """Parameters of each kind outside matrices and experts, and those of these that no product meets."""
    stored, unmet = block(kinds).weights(kinds, width, 1), getattr(block(kinds), "unmet", None)
    outside = np.asarray(n_params - stored.matrix - stored.experts, dtype=float)
    return outside, unmet(kinds, width) if unmet else np.zeros(())


def _narrowest(kinds: Any, kept: np.ndarray, alive: np.ndarray) -> Any:
    """Kinds below those that are kept at each width, arrays of shape (G, D)."""
    found = least(kinds, kept | ~alive[:, None])  # where all is dead anything will do
    return replace(kinds, **found)


def _beside(kinds: list[Any]) -> Any:
    """Kinds of runs of widths side by side: arrays of shape (D,), or (G, D) for G head widths.

    Runs with fewer head widths repeat their last.
    """
    arrays = {name for name, value in vars(kinds[0]).items() if isinstance(value, np.ndarray)}
    joined = {}
    for name in arrays:
        parts = [getattr(k, name) for k in kinds]
        if parts[0].ndim > 1:
            most = max(map(len, parts))
            parts = [np.pad(part, ((0, most - len(part)), (0, 0)), mode="edge") for part in parts]
        joined[name] = np.concatenate(parts, axis=-1)
    return replace(kinds[0], **joined)
