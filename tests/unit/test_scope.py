"""The vocabulary of rules: numbers give masks, symbols give bounds, and both mean the same.

Guards the two readings of one declaration, on which every mask and every row of the solver rests.
"""

import copy
from math import inf

import numpy as np
import pytest

from optimizer.scope import AllOf, AnyOf, Bound, Scope, Symbol, conjuncts, holds

TPOT = Symbol("tpot_ms", "decode_s", True, lambda at, q: 1e3 * q)
HEADS = np.array([8, 12, 16])[:, None]
WIDTHS = np.array([1024, 1536])[None, :]


def scope(metric: object = TPOT) -> Scope:
    return Scope({"n_heads": HEADS, "d_ff": WIDTHS, "t": 8}, lambda name: metric)


def test_divisibility_on_arrays_and_numbers() -> None:
    c = scope()
    assert c.divides(c.t, c.n_heads).tolist() == [[True], [False], [True]]
    assert c.multiple_of(c.d_ff, 1024).tolist() == [[True, False]]
    assert bool(c.divides(3, 9))
    assert not bool(c.divides(3, 10))


def test_comparisons_include_their_ends() -> None:
    c = scope()
    assert c.at_most(c.n_heads, 12).ravel().tolist() == [True, True, False]
    assert c.at_least(c.n_heads, 12).ravel().tolist() == [False, True, True]
    assert holds(c.between(8, c.n_heads, 12)).ravel().tolist() == [True, True, False]


def test_a_metric_on_either_side_becomes_a_bound() -> None:
    c = scope()
    metric = c.metric("tpot_ms")
    assert c.at_most(metric, 5) == Bound(TPOT, -inf, 5.0)
    assert c.at_least(metric, 5) == Bound(TPOT, 5.0, inf)
    assert c.at_most(5, metric) == Bound(TPOT, 5.0, inf)
    assert c.between(3, metric, 5) == AllOf((Bound(TPOT, 3.0, inf), Bound(TPOT, -inf, 5.0)))


def test_a_metric_that_is_a_number_becomes_a_mask() -> None:
    c = scope(np.array([4.0, 6.0]))
    assert c.at_most(c.metric("tpot_ms"), 5).tolist() == [True, False]


def test_masks_on_different_axes_stay_apart_in_a_conjunction() -> None:
    """Their product would have as many elements as the lattice has pairs."""
    c = scope()
    both = c.all_of(c.divides(c.t, c.n_heads), c.multiple_of(c.d_ff, 1024))
    assert [part.shape for part in conjuncts(both)] == [(3, 1), (1, 2)]
    assert holds(both).tolist() == [[True, False], [False, False], [True, False]]


def test_alternatives_fold_what_is_decided_and_keep_the_rest() -> None:
    c = scope()
    choice = c.any_of(
        c.divides(c.t, c.n_heads), c.multiple_of(c.d_ff, 1024), c.at_most(c.metric("tpot_ms"), 5)
    )
    assert isinstance(choice, AnyOf)
    mask, bound = choice.parts
    assert mask.tolist() == [[True, True], [True, False], [True, True]]
    assert bound == Bound(TPOT, -inf, 5.0)


def test_alternatives_of_numbers_are_a_mask() -> None:
    c = scope()
    either = c.any_of(c.divides(c.t, c.n_heads), c.at_most(c.n_heads, 12))
    assert isinstance(either, np.ndarray)
    assert either.ravel().tolist() == [True, True, True]


def test_conjunctions_nest() -> None:
    c = scope()
    inner = c.between(1, c.metric("tpot_ms"), 5)
    parts = conjuncts(c.all_of(c.divides(c.t, c.n_heads), inner))
    assert [type(p) for p in parts] == [np.ndarray, Bound, Bound]


def test_a_bound_on_a_symbol_has_no_mask() -> None:
    c = scope()
    for relation in (c.at_most(c.metric("tpot_ms"), 5), c.between(1, c.metric("tpot_ms"), 5)):
        with pytest.raises(TypeError):
            holds(relation)


def test_touched_names_are_recorded() -> None:
    """The cache of compiled rules is keyed by them: a name that is missed gives another frame's mask."""
    c = scope()
    assert c.touched == set()
    c.divides(c.t, c.n_heads)
    assert c.touched == {"t", "n_heads"}


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        _ = scope().n_experts


def test_a_scope_is_copied_like_any_object() -> None:
    """Python asks a copy for names of its own before it has any values."""
    assert copy.copy(scope()).t == 8


def test_a_conjunction_of_one_array_is_that_array() -> None:
    c = scope()
    [part] = conjuncts(c.all_of(c.divides(c.t, c.n_heads)))
    assert np.asarray(part).tolist() == [[True], [False], [True]]
    assert holds(c.all_of(c.divides(c.t, c.n_heads))).tolist() == [[True], [False], [True]]
