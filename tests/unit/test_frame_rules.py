"""Rules of a frame sorted by what they decide, and columns priced in blocks: each piece alone.

Guards the filter in front of every proof: a kind, pair or depth taken away in error is never missed.
"""

from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import samples

from optimizer.cost.frame import Slice
from optimizer.cost.quantities import QUANTITIES
from optimizer.plugins import plugins
from optimizer.questions.architecture import table as tables
from optimizer.questions.architecture.frame_rules import Compiler, FrameRules, pair_mask, pick, symbol
from optimizer.questions.architecture.space import Space, resolve
from optimizer.questions.architecture.table import frame_table, priced
from optimizer.scope import AnyOf, Bound, Relation, Scope
from optimizer.spec.norms import Norms


@pytest.mark.parametrize("shape", list(product((1, 3), (1, 4), (1, 5))))
def test_picking_rows_of_a_mask(shape: tuple[int, int, int]) -> None:
    mask = np.random.default_rng(sum(shape)).random(shape) < 0.5
    whole = np.broadcast_to(mask, (3, 4, 5))
    attention, ffn = np.array([3, 0, 2]), np.array([4, 1])
    for depth in range(3):
        found = np.broadcast_to(pick(mask, depth, attention, ffn), (3, 2))
        assert found.tolist() == whole[depth][np.ix_(attention, ffn)].tolist()
    fact = pick(np.array(True), 2, attention, ffn)  # a mask on facts of the frame alone has no axes
    assert fact.shape == (1, 1) and fact.all()
    own = pick(np.array([[True], [False], [True], [False]]), 2, attention, ffn)
    assert own.ravel().tolist() == [False, True, True]


def left(depths: int = 1, attention: int = 1, ffn: int = 1, pairs: Any = ()) -> FrameRules:
    return FrameRules(np.arange(depths), np.arange(attention), np.arange(ffn), tuple(pairs), (), ())


def test_pairs_must_pass_every_mask() -> None:
    first = np.array([[[True, True, False], [True, False, True]]])
    second = np.array([[[True], [True]], [[False], [True]]])
    rules = left(2, 2, 3, [("a", first), ("b", second)])
    rows = np.arange(2), np.arange(3)
    assert pair_mask(rules, 0, *rows).tolist() == first[0].tolist()
    assert pair_mask(rules, 1, *rows).tolist() == [[False] * 3, [True, False, True]]
    assert pair_mask(left(), 0, *rows).all()


def test_a_frame_is_alive_while_each_axis_has_something() -> None:
    assert left().alive
    for empty in ({"depths": 0}, {"attention": 0}, {"ffn": 0}):
        assert not left(**empty).alive


@pytest.fixture(scope="module")
def space() -> Space:
    off = dict.fromkeys(plugins("constraints"), False)
    lattice = samples.SPACE | {"d_model": [2048, 2304]}
    deployment = {"tensor_parallel": [1, 2], "batch": [1, 8]}
    return resolve(samples.problem(architecture=lattice, deployment=deployment, constraints=off))


def compiled(space: Space, number: int = 0, **rules: Any) -> FrameRules:
    return compiler(space, **rules).compile(list(space.frames())[number])


def compiler(space: Space, **rules: Any) -> Compiler:
    own = space.rules
    for name, value in rules.items():
        own = own.with_value(name, value)
    return Compiler(space, own)


def test_rules_on_one_axis_take_kinds_away(space: Space) -> None:
    found = compiled(space, attention_ratio=(1.0, 1.125))
    heads = space.attention.n_heads[found.attention] * 128 / 2048
    assert set(heads.tolist()) == {1.0, 1.125}
    assert (len(found.depths), len(found.ffn), found.pairs) == (2, 3, ())
    found = compiled(space, ffn_ratio=(3.5, 4.0))
    assert space.ffn.d_ff[found.ffn].tolist() == [7168, 8192]
    assert len(found.attention) == len(space.attention)
    found = compiled(space, aspect_ratio=(110, 200))
    assert space.depths[found.depths].tolist() == [16]
    assert not compiled(space, aspect_ratio=(1.0, 2.0)).alive


def test_rules_on_facts_alone_keep_all_or_nothing(space: Space) -> None:
    assert compiled(space, scaleup_domain=True).alive
    wide = samples.changed(next(space.frames()), tensor_parallel=16)
    none = compiler(space, scaleup_domain=True).compile(wide)
    assert (len(none.depths), none.alive, none.pairs) == (0, False, ())


def any_rule(relation: Any) -> Any:
    return SimpleNamespace(rule=lambda c, value: relation(c), DEFAULT=None, Value=bool, ACCEPTS="true")


def test_rules_on_several_axes_stay_as_pairs_and_choices(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pairs(c: Scope) -> Relation:
        return c.at_most(c.n_heads * c.d_head * 3, c.d_ff)

    def choice(c: Scope) -> Relation:
        either = c.any_of(c.at_most(c.metric("tpot_ms"), 5.0), c.divides(8, c.n_heads))
        return c.all_of(either, c.at_least(c.metric("loss"), 1.5), c.at_least(c.d_ff, 7000))

    monkeypatch.setitem(plugins("constraints"), "pairs", any_rule(pairs))
    monkeypatch.setitem(plugins("constraints"), "choice", any_rule(choice))
    found = compiled(space, pairs=True, choice=True, tpot_ms_max=9.0)
    [(name, mask)] = found.pairs
    wide = space.attention.n_heads[:, None] * 128 * 3 <= space.ffn.d_ff
    assert name == "pairs"
    assert mask.reshape(wide.shape).tolist() == wide.tolist()
    assert space.ffn.d_ff[found.ffn].tolist() == [7168, 8192]
    assert [(n, b.symbol.name, b.low, b.high) for n, b in found.bounds] == [
        ("choice", "loss", 1.5, np.inf),
        ("tpot_ms_max", "tpot_ms", -np.inf, 9.0),
    ]
    [(name, either)] = found.choices
    assert (name, type(either), [type(p) for p in either.parts]) == ("choice", AnyOf, [np.ndarray, Bound])


def test_what_decides_the_kinds_that_are_left(space: Space) -> None:
    """Facts that rules on dimensions name, d_model apart; a limit of a metric decides none."""
    own = compiler(space, tile_alignment=64, kv_sharing=4, tpot_ms_max=5.0)
    frames = {(f.split.tensor_parallel, f.batch, int(f.d_model)): f for f in space.frames()}
    keys = {}
    for key, frame in frames.items():
        own.compile(frame)
        keys[key] = own.static_key(frame)
    assert keys[1, 1, 2048] == keys[1, 8, 2048] == keys[1, 1, 2304] != keys[2, 1, 2048]
    stricter = compiler(space, tile_alignment=128, kv_sharing=4)
    stricter.compile(frames[1, 1, 2048])
    assert stricter.static_key(frames[1, 1, 2048]) != keys[1, 1, 2048]
    assert own.holds_at_every_width("kv_sharing")
    assert own.holds_at_every_width("tpot_ms_max")
    assert not own.holds_at_every_width("tile_alignment")  # it names d_model


def test_frames_alike_share_what_is_left(space: Space) -> None:
    own = compiler(space, tile_alignment=64, ffn_ratio=(3.0, 4.0), kv_sharing=4)
    found = {(f.split.tensor_parallel, f.batch, int(f.d_model)): own.compile(f) for f in space.frames()}
    assert found[1, 1, 2048].kinds == found[1, 8, 2048].kinds
    assert found[1, 1, 2048].kinds != found[1, 1, 2304].kinds
    assert own.compile(next(space.frames())).kinds == found[1, 1, 2048].kinds


def test_a_metric_as_a_symbol() -> None:
    own = symbol("tpot_ms")
    frame = samples.frame("llama-3.1-8b")
    assert (own.name, own.quantity, own.rises) == ("tpot_ms", "decode_s", True)
    assert own.value(Slice(frame, 4), 2.0) == 2000


# Columns.


def test_columns_are_the_cost_model_on_the_kinds_left(space: Space) -> None:
    frame = next(space.frames())
    rules = compiled(space, attention_ratio=(1.0, 1.125), ffn_ratio=(3.5, 4.0), aspect_ratio=(110, 200))
    found = frame_table(space, frame, rules, ["n_params", "decode_s"])
    assert list(found.columns) == ["n_params", "decode_s"]
    assert found.depths.tolist() == [16]
    assert found.size == 2 * (len(rules.attention) + 2)
    assert found.at(5) == Slice(frame, 5)
    for name, column in found.columns.items():
        quantity = QUANTITIES[name]
        assert column.base == pytest.approx(float(quantity.base(frame)))
        for row, i in enumerate(rules.attention):
            assert column.attention[row] == pytest.approx(
                float(quantity.mixer(frame, space.attention.take(i), space.architecture.norms))
            )
        for row, j in enumerate(rules.ffn):
            assert column.ffn[row] == pytest.approx(float(quantity.ffn(frame, space.ffn.take(j))))


@pytest.mark.parametrize("block", [1, 2, 5, 7, 8, 9])
def test_blocks_of_kinds_are_priced_like_all_at_once(
    space: Space, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    frame, kinds = next(space.frames()), space.attention.take(slice(0, 7))
    whole = np.asarray(QUANTITIES["decode_s"].mixer(frame, kinds, Norms()))
    monkeypatch.setattr(tables, "BLOCK", block)
    sizes: list[int] = []

    def price(frame: Any, kinds: Any) -> Any:
        sizes.append(len(kinds))
        return QUANTITIES["decode_s"].mixer(frame, kinds, Norms())

    assert priced(price, frame, kinds).tolist() == whole.tolist()
    assert (sum(sizes), max(sizes)) == (7, min(7, block))


@pytest.mark.parametrize(("cells", "runs"), [(10**6, [2]), (10, [2]), (9, [1, 1]), (5, [1, 1]), (3, [1, 1])])
def test_a_table_in_runs_of_depths(
    space: Space, monkeypatch: pytest.MonkeyPatch, cells: int, runs: list[int]
) -> None:
    """Each has at most so many depths x attention kinds, but one depth at least."""
    frame = next(space.frames())
    rules = compiled(space, kv_sharing=4)
    assert len(rules.attention) == 5
    whole = frame_table(space, frame, rules, ["n_params"])
    monkeypatch.setattr(tables, "_CELLS", cells)
    parts = whole.parts()
    assert [len(part.depths) for part in parts] == runs
    assert np.concatenate([part.depths for part in parts]).tolist() == whole.depths.tolist()
    assert np.concatenate([part.rules.depths for part in parts]).tolist() == rules.depths.tolist()
    assert all(part.columns == whole.columns for part in parts)
