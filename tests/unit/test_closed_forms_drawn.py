"""A seeded part of `benchmarks/closed_form.py`: forms beside replays, over setups and protocols at random."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from optimizer.cost.open_loop import OpenLoop, open_loop

PLACE = Path(__file__).parents[2] / "benchmarks" / "closed_form.py"


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("closed_form", PLACE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["closed_form"] = module  # its dataclasses look for it there
    spec.loader.exec_module(module)
    module.OPEN_REQUESTS = 1500
    module.MOST_REQUESTS = 300
    return module


@pytest.mark.parametrize(
    ("kind", "median", "most"),
    [("closed", (0.05, 0.03), (0.3, 0.25)), ("open", (0.03, 0.06, 0.03, 0.06), (0.2, 0.25, 0.2, 0.3))],
)
def test_forms_are_near_replays(drawing: ModuleType, kind: str, median: tuple, most: tuple) -> None:
    """Bounds are twice what 2,000 setups have, for there are few here, and their replays are short."""
    one, random, errors = drawing.KINDS[kind][0], np.random.default_rng(2), []
    while len(errors) < 8:
        if (own := one(random)) is not None:
            errors.append(np.abs(own.errors(again=False)[0]))
    assert np.all(np.median(errors, axis=0) < median), np.median(errors, axis=0)
    assert np.all(np.max(errors, axis=0) < most), np.max(errors, axis=0)


def test_nothing_falls_where_the_load_rises(drawing: ModuleType) -> None:
    random = np.random.default_rng(3)
    for _ in range(40):
        at = drawing.drawn(random, 2000)
        batch = at.frame.split.lanes * np.geomspace(0.01, 300, 40)
        form = open_loop(replace(at.frame, batch=batch), at.model)
        for values in (form.requests_per_s, form.ttft_s, form.tpot_s):
            assert np.all(np.diff(values[np.isfinite(values)]) >= -1e-12), (at, values)
        assert np.all(np.isfinite(form.ttft_s[:10]))
        assert np.all(np.diff(np.isinf(form.ttft_s).astype(int)) >= 0)


def test_a_load_has_the_same_latencies_alone_and_among_others(drawing: ModuleType) -> None:
    """The chain is solved for some of many loads, the others lie between."""
    random = np.random.default_rng(4)
    for _ in range(20):
        at = drawing.drawn(random, 2000)
        batch = np.geomspace(at.frame.split.lanes, 200, 50)
        many = open_loop(replace(at.frame, batch=batch), at.model)
        for i in (3, 20, 31):
            alone = open_loop(replace(at.frame, batch=float(batch[i])), at.model)
            if np.isfinite(many.ttft_s[i]):
                assert _near(alone, many, i), (at, i)


def _near(alone: OpenLoop, many: OpenLoop, i: int) -> bool:
    both = [
        (a.ttft_s, b.ttft_s[i], a.tpot_s, b.tpot_s[i])
        for a, b in ((alone.served(), many.served()), (alone.served(95), many.served(95)))
    ]
    return all(abs(x / y - 1) < 0.06 for ttft, t, tpot, p in both for x, y in ((ttft, t), (tpot, p)))
