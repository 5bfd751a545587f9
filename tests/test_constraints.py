"""Each constraint file keeps its form, and its numpy mask and its CP-SAT rows mean the same.

Guards the promise that a constraint is declared once: a relation that reads one way on numbers and
another way on symbols would let the solver and its witnesses answer different questions.
"""

from dataclasses import dataclass, replace
from functools import reduce
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import samples
from pydantic import TypeAdapter
from rows import allowed

from optimizer.columns.rules import Rules, frame_values
from optimizer.cost.frame import Slice
from optimizer.cost.quantities import QUANTITIES
from optimizer.metrics import having, metric
from optimizer.plugins import plugins
from optimizer.questions.architecture.enumeration import brute_force
from optimizer.questions.architecture.frame_rules import Compiler, FrameRules, symbol
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.slice_model import TERMS, SliceModel
from optimizer.questions.architecture.space import Space, resolve
from optimizer.questions.architecture.table import FrameTable, frame_table
from optimizer.questions.architecture.window import meets
from optimizer.scope import AllOf, AnyOf, Bound, Relation, Scope, holds

STRUCTURAL = sorted(plugins("constraints"))
METRICS = sorted(having("value"))
DEPTHS, ROW = [16, 20, 24], 1
LATTICE = {
    "vocab_size": 32000,
    "d_model": 2048,
    "n_layers": DEPTHS,
    "n_heads": [8, 12, 16, 20],
    "n_kv_heads": [1, 2, 4, 6, 8],
    "d_head": [64, 128],
    "d_ff": [4096, 5504, 6144, 7040, 8192, 11264],
}
# Values at which a rule keeps some of the lattice above and refuses some, beside its own examples.
VALUES: dict[str, list[Any]] = {
    "aspect_ratio": [[32, 200], [110, 200], [32, 90]],
    "attention_ratio": [[0.75, 2.0], [0.3, 0.6]],
    "ffn_ratio": [[2.5, 5.5], [2.0, 3.0]],
    "gqa_divisibility": [True],
    "kv_sharing": [8, 2],
    "memory_capacity": [1.0, 0.055, 0.06],
    "parameter_window": [[0.9e9, 1.1e9], [1e9, 1.0001e9], [1e12, 2e12]],
    "quantisation_blocks": [64, 128],
    "scaleup_domain": [True],
    "tensor_parallel_divisibility": [True],
    "tile_alignment": [True, 32, 128, 96],
}
CASES = [(name, value) for name, values in VALUES.items() for value in values]


def rule_on(name: str, point: dict[str, Any]) -> bool:
    scope = Scope(point, point.__getitem__)
    return bool(holds(plugins("constraints")[name].rule(scope, point["value"])))


@pytest.mark.parametrize("name", STRUCTURAL)
def test_file_has_its_form(name: str) -> None:
    module = plugins("constraints")[name]
    sentence, *rest = (module.__doc__ or "").strip().splitlines()
    assert sentence.endswith(".")
    formula = next(line for line in rest if line.strip())
    assert any(sign in formula for sign in ("<=", ">=", "==")), "the sentence is not followed by a formula"
    assert module.ACCEPTS
    assert module.TITLE
    assert module.Value is not None
    assert module.rule.__doc__
    if module.DEFAULT is not None:
        TypeAdapter(module.Value).validate_python(module.DEFAULT)


@pytest.mark.parametrize("name", STRUCTURAL)
def test_examples_keep_and_break(name: str) -> None:
    module = plugins("constraints")[name]
    assert rule_on(name, module.KEEPS)
    assert not rule_on(name, module.BREAKS)
    for point in (module.KEEPS, module.BREAKS):
        TypeAdapter(module.Value).validate_python(point["value"])


@pytest.mark.parametrize("name", [n for n in STRUCTURAL if hasattr(plugins("constraints")[n], "weaker")])
def test_weaker_values_are_accepted_and_keep_what_was_kept(name: str) -> None:
    module = plugins("constraints")[name]
    values = module.weaker(module.KEEPS["value"])
    assert values
    for value in values:
        TypeAdapter(module.Value).validate_python(value)
        assert rule_on(name, module.KEEPS | {"value": value})


def test_every_constraint_has_values_to_test() -> None:
    assert sorted(VALUES) == STRUCTURAL


@dataclass
class Grid:
    """All pairs of kinds of one slice, with every quantity."""

    space: Space
    table: FrameTable

    @property
    def n_layers(self) -> int:
        return DEPTHS[ROW]

    def total(self, quantity: str) -> np.ndarray:
        column = self.table.columns[quantity]
        return column.base + self.n_layers * (column.attention[:, None] + column.ffn[None, :])

    def value(self, name: str) -> np.ndarray:
        module = metric(name)
        at = Slice(self.table.frame, self.n_layers)
        return np.asarray(module.value(at, self.total(module.QUANTITY)), dtype=float)

    def kinds(self) -> dict[str, Any]:
        a, f = self.space.attention, self.space.ffn
        own = {"n_heads": a.n_heads, "n_kv_heads": a.n_kv_heads, "d_head": a.d_head}
        return {k: v[:, None] for k, v in own.items()} | {
            "d_ff": f.d_ff[None, :],
            "n_layers": np.array([[self.n_layers]]),
        }

    def relation(self, rules: Rules, name: str, metrics: Any) -> Relation:
        frame = self.table.frame
        return rules.relation(name, Scope(frame_values(frame) | self.kinds(), metrics), frame)

    def mask(self, rules: Rules, name: str) -> np.ndarray:
        """The rule on numbers."""
        shape = (len(self.space.attention), len(self.space.ffn))
        return np.broadcast_to(holds(self.relation(rules, name, self.value)), shape)


@pytest.fixture(scope="module")
def grid() -> Grid:
    unequal = {"gqa_divisibility": False}  # else the lattice is made without unequal groups
    asked = samples.problem(architecture=LATTICE, deployment={"tensor_parallel": 4}, constraints=unequal)
    space = resolve(asked)
    space = replace(space, rules=space.rules.with_value("gqa_divisibility", True))
    frame = next(space.frames())
    everything = FrameRules(
        np.arange(len(space.depths)),
        np.arange(len(space.attention)),
        np.arange(len(space.ffn)),
        (),
        (),
        (),
    )
    return Grid(space, frame_table(space, frame, everything, list(QUANTITIES)))


def loosened(relation: Relation, grid: Grid, model: SliceModel) -> Any:
    """The mask with each bound moved by the documented rounding: TERMS units, and the loss's margin."""
    if isinstance(relation, AllOf):
        return reduce(np.logical_and, [loosened(p, grid, model) for p in relation.parts])
    if isinstance(relation, AnyOf):
        return reduce(np.logical_or, [loosened(p, grid, model) for p in relation.parts])
    if not isinstance(relation, Bound):
        return relation
    s = relation.symbol
    _, unit, low, high = model.sum(s.quantity)
    margin = 0.0
    if s.rises is None:
        line = np.linspace(low * unit, (high + TERMS) * unit, 132)
        margin = 2 * np.abs(np.diff(s.value(model.at, line), n=2)).max()
    total = grid.total(s.quantity)
    near = [s.value(model.at, total + k * unit) for k in np.linspace(-TERMS, TERMS, 13)]
    return np.logical_or.reduce([meets(v, relation.low - margin, relation.high + margin) for v in near])


def compare(grid: Grid, rules: Rules, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Assert that the mask and both ways to the rows agree; return mask and rows."""
    mask = grid.mask(rules, name)
    everything = np.arange(mask.shape[0]), np.arange(mask.shape[1])
    direct = SliceModel(grid.table, ROW, grid.n_layers, *everything)
    relation = grid.relation(rules, name, symbol)
    direct.post(name, relation)
    tolerated = np.broadcast_to(loosened(relation, grid, direct), mask.shape)
    rows = allowed(direct, mask.shape)

    compiled = Compiler(grid.space, rules.only({name})).compile(grid.table.frame)
    filtered = np.zeros(mask.shape, dtype=bool)
    if compiled.alive and ROW in compiled.depths:
        table = frame_table(grid.space, grid.table.frame, compiled, list(QUANTITIES))
        kinds = np.arange(len(compiled.attention)), np.arange(len(compiled.ffn))
        model = SliceModel(table, ROW, grid.n_layers, *kinds)
        model.add_rules()
        filtered = allowed(model, mask.shape)
    for found in (rows, filtered):
        assert not (mask & ~found).any(), "the rows lose a plan"
        assert not (found & ~tolerated).any(), "the rows keep a plan beyond the rounding"
    return mask, rows


@pytest.mark.parametrize(("name", "value"), CASES)
def test_rows_equal_mask(grid: Grid, name: str, value: Any) -> None:
    compare(grid, grid.space.rules.with_value(name, value), name)


@pytest.mark.parametrize("name", [n for n in STRUCTURAL if n not in ("aspect_ratio", "scaleup_domain")])
def test_the_lattice_has_both_sides_of_each_rule(grid: Grid, name: str) -> None:
    """Else the comparison above would compare nothing."""
    masks = [grid.mask(grid.space.rules.with_value(name, value), name) for value in VALUES[name]]
    assert any(mask.any() and not mask.all() for mask in masks)


@pytest.mark.parametrize("side", ["max", "min"])
@pytest.mark.parametrize("name", METRICS)
def test_rows_equal_mask_for_bounds_on_metrics(grid: Grid, name: str, side: str) -> None:
    """The bound lies on a plan exactly, the hardest place for the rounding."""
    values = np.sort(grid.value(name), axis=None)
    limit = float(values[len(values) // 2])
    rule = f"{name}_{side}"
    mask, rows = compare(grid, grid.space.rules.with_value(rule, limit), rule)
    assert mask.any()
    assert not mask.all()
    if metric(name).RISES is not None:
        assert rows.sum() - mask.sum() <= 4


def mixed(part: str, limit: float) -> Any:
    """A rule with a bound on a metric or a rule on dimensions, as a user may add one day."""

    def rule(c: Scope, value: Any) -> Relation:
        dimensions = {
            "attention": lambda: c.divides(8, c.n_heads),
            "ffn": lambda: c.at_least(c.d_ff, 7000),
            "depth": lambda: c.at_least(c.n_layers, 22),
            "pair": lambda: c.at_most(c.n_heads * c.d_head * 4, c.d_ff),
            "conjunction": lambda: c.all_of(
                c.divides(8, c.n_heads), c.at_least(c.d_ff, 7000), c.at_most(c.metric("n_params"), 1.2e9)
            ),
        }
        return c.any_of(c.at_most(c.metric("tpot_ms"), limit), dimensions[part]())

    return SimpleNamespace(rule=rule, DEFAULT=None, Value=bool, ACCEPTS="true", KEEPS={}, BREAKS={})


PARTS = ["attention", "ffn", "depth", "pair", "conjunction"]


@pytest.mark.parametrize("part", PARTS)
def test_rows_equal_mask_for_alternatives(grid: Grid, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = float(np.quantile(grid.value("tpot_ms"), 0.3))
    monkeypatch.setitem(plugins("constraints"), "mixed", mixed(part, limit))
    mask = grid.mask(grid.space.rules.with_value("mixed", True), "mixed")
    assert mask.any()
    assert not mask.all()
    everything = np.arange(mask.shape[0]), np.arange(mask.shape[1])
    model = SliceModel(grid.table, ROW, grid.n_layers, *everything)
    rules = grid.space.rules.with_value("mixed", True)
    relation = grid.relation(rules, "mixed", symbol)
    model.post("mixed", relation)
    rows = allowed(model, mask.shape)
    assert not (mask & ~rows).any()
    assert not (rows & ~np.broadcast_to(loosened(relation, grid, model), mask.shape)).any()


@pytest.mark.parametrize("part", PARTS)
def test_search_under_alternatives_finds_the_optimum(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the compiler, which filters kinds before the rows are posted, and over several depths."""
    monkeypatch.setitem(plugins("constraints"), "mixed", mixed(part, 2.2))
    space = resolve(samples.problem(architecture=LATTICE, deployment={"tensor_parallel": 4}))
    rules = space.rules.with_value("mixed", True)
    for name, sense in (("n_params", -1), ("loss", 1), ("tpot_ms", -1)):
        truth = brute_force(space, rules, symbol(name), sense)
        assert np.isfinite(truth)
        found = Search(space, rules, symbol(name), sense).run()
        assert found.finished
        assert found.best is not None
        assert found.best.key == pytest.approx(truth, rel=1e-9)
