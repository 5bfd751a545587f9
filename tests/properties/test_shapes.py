"""What rules leave at all widths at once is what they leave at each, and layers called narrowest are."""

from dataclasses import replace

import numpy as np
import pytest
import samples
from hypothesis import HealthCheck, given, settings
from test_optimum import problems as drawn_problems

from optimizer.cost.quantities import QUANTITIES
from optimizer.questions import problems
from optimizer.questions.architecture import shapes as module
from optimizer.questions.architecture.frame_rules import Compiler
from optimizer.questions.architecture.shapes import shapes
from optimizer.questions.architecture.space import resolve


def same_at_every_width(space) -> None:
    compiler = Compiler(space, space.rules)
    for setting in space.settings():
        masks = compiler.at_widths(setting)
        found = shapes(space, compiler, setting)
        for i, width in enumerate(space.architecture.d_model):
            frame = replace(setting, d_model=width)
            rules = compiler.compile(frame)
            alive = all(mask[i].any() for mask in masks)
            assert alive == rules.alive == bool(found.depths[i].any())
            if not alive:
                continue
            for mask, rows in zip(masks, (rules.depths, rules.attention, rules.ffn), strict=True):
                assert np.flatnonzero(mask[i]).tolist() == rows.tolist()
            one_width(space, frame, rules, found, i)


def one_width(space, frame, rules, found, i) -> None:
    n = QUANTITIES["n_params"]
    a, f = space.attention.take(rules.attention), space.ffn.take(rules.ffn)
    p_a, p_f, base = n.mixer(frame, a, space.architecture.norms), n.ffn(frame, f), n.base(frame)
    assert found.low[i] == pytest.approx(base + space.depths * (p_a.min() + p_f.min()), rel=1e-15)
    assert found.high[i] == pytest.approx(base + space.depths * (p_a.max() + p_f.max()), rel=1e-15)
    narrow = found.mixers.take((slice(None), i))
    for d_head in np.unique(a.d_head):
        own = narrow.take(narrow.d_head == d_head)
        assert set(own.n_heads) == {a.n_heads[a.d_head == d_head].min()}
        assert set(own.n_kv_heads) == {a.n_kv_heads[a.d_head == d_head].min()}
    assert set(narrow.d_head) == set(a.d_head)
    assert found.ffn.d_ff[i] == f.d_ff.min()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(drawn_problems())
def test_all_widths_at_once(problem) -> None:
    same_at_every_width(resolve(problem))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CELLS", 1)  # each width a run of its own, with its own head widths
        same_at_every_width(resolve(problem))


def test_in_runs_of_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CELLS", 20_000)
    space = resolve(problems.load("infeasible-7b-tpot"))
    assert len(list(module._runs(space, next(space.settings())))) > 10
    same_at_every_width(replace(space, ffn=space.ffn.take(slice(0, 1000, 7))))


def test_runs_that_keep_other_head_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow layers keep heads of 64, wide ones of 128 alone; the runs lie side by side all the same."""
    monkeypatch.setattr(module, "_CELLS", 1)
    lattice = {"d_model": [1024, 2048, 4096], "n_heads": [16, 32], "d_head": [64, 128], "n_kv_heads": [8]}
    problem = samples.problem(
        architecture=samples.SPACE | lattice, constraints={"attention_ratio": [0.75, 1.0]}
    )
    space = resolve(problem)
    masks = Compiler(space, space.rules).at_widths(next(space.settings()))[1]
    kept = [set(space.attention.d_head[mask].tolist()) for mask in masks]
    assert kept == [{64}, {64, 128}, {128}]
    same_at_every_width(space)
