"""Rows left out: which constants rows set, that their files name the rows, and that fits find what made rows.

Guards the figures that the README promises, which nobody would otherwise see going wrong.
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "left_out"))

from ablation import worths  # noqa: E402
from constants import CHIPS, NEUTRAL, Parameter, chip_parameters, engine_parameters  # noqa: E402
from folds import folds  # noqa: E402
from surrogate import Surrogate, place_of, value_of  # noqa: E402

from optimizer import catalog  # noqa: E402

AS = re.compile(r"^as .*\(engines/([\w.-]+)\.yaml\)")
ROWS = re.compile(r"\d+ (rows|latencies|first tokens)|rows? of .*\.csv|three reports")
GIVEN = re.compile(r"not fitted|set by hand|default")


@pytest.mark.parametrize("engine", catalog.engines().values(), ids=lambda engine: engine.name)
def test_every_constant_names_its_rows_or_says_whose_it_is(engine) -> None:
    """A figure taken from another engine is that engine's; one set by hand says so."""
    for figure, (neutral, *_) in NEUTRAL.items():
        value, source = getattr(engine, figure), engine.source(figure)
        if value == neutral:
            continue
        if said := AS.match(source):
            assert getattr(catalog.engines()[said[1]], figure) == value, f"{figure}: {source}"
        else:
            assert ROWS.search(source) or GIVEN.search(source), f"{figure}: {source}"


def test_chips_name_the_rows_of_theirs() -> None:
    for name, figure in CHIPS:
        assert figure in catalog.chip(name).source("efficiency"), f"{name} {figure}"
        assert getattr(catalog.chip(name).efficiency, figure) is not None
    assert {(p.owners[0], p.figure) for p in chip_parameters()} == CHIPS


def test_constants_that_share_a_source_are_one() -> None:
    found = {p.name: p for p in engine_parameters(catalog.engines().values())}
    assert len(found) < 30
    assert "vllm" in found["trtllm expert_skew"].owners
    assert not any("llama.cpp" in p.owners for p in found.values())  # set before any comparison


@dataclass(frozen=True)
class Made:
    """A row whose time is a + b x."""

    source: str
    model: str
    chip: str
    x: float
    measured: float
    engine: str = "e"
    used: bool = True
    key: Any = field(default_factory=lambda: type("Key", (), {"engine": "e"})())


class World:
    """Rows made by a = 2, b = 3; a third constant, c, makes rows of source 't' alone longer by 30 %."""

    def __init__(self) -> None:
        self.rows = [
            Made(s, m, "c", x, (2 + 3 * x) * (1.3 if s == "t" else 1.0))
            for s, m, x in zip("rrrrsssstttt", "mnop" * 3, (0.1, 0.5, 1, 3) * 3, strict=True)
        ]
        places = (0.0, 0.4, 1.0, 1.8, 3.5)
        self.parameters = [Parameter(n, n, ("e",), places, places) for n in "ab"]
        self.parameters.append(Parameter("c", "c", ("e",), places, tuple(1 + p for p in places)))

    def meets(self, parameter: Parameter, row: Made) -> bool:
        return parameter.name != "c" or row.source == "t"

    def predict(self, values, which) -> dict[int, float]:
        own = ((i, self.rows[i]) for i in which)
        return {
            i: (values["a"] + values["b"] * row.x) * (values["c"] if row.source == "t" else 1)
            for i, row in own
        }


@pytest.fixture(scope="module")
def surrogate() -> Surrogate:
    return Surrogate(World(), {"a": 1.0, "b": 1.0, "c": 2.0})  # type: ignore[arg-type]


def test_a_fit_comes_near_what_made_the_rows(surrogate: Surrogate) -> None:
    """Interpolated between few values, so only near; what is predicted with it is the model's own."""
    found = surrogate.fit(np.array([row.source == "r" for row in surrogate.world.rows]))
    values = [value_of(p, found[p.name]) for p in surrogate.parameters]
    assert values[0] == pytest.approx(2, rel=0.25)
    assert values[1] == pytest.approx(3, rel=0.25)
    assert values[2] == 1.0  # no row of r tells it: as if there were none


def test_nothing_of_a_row_left_out_is_seen(surrogate: Surrogate) -> None:
    """Each group is held out whole, and what it alone tells is not told."""
    all_folds = list(folds(surrogate, {"a": 1.0, "b": 1.0, "c": 1.0}))
    assert [(f.scheme, f.group) for f in all_folds if f.scheme != "model"] == [
        ("source", "r"),
        ("source", "s"),
        ("source", "t"),
        ("chip", "c"),
    ]
    without_t = next(f for f in all_folds if f.group == "t")
    assert without_t.told == {"a", "b"}
    assert list(np.flatnonzero(without_t.held)) == [8, 9, 10, 11]


def test_a_constant_that_hurts_left_out_is_named(surrogate: Surrogate) -> None:
    every = surrogate.fit(np.ones(12, dtype=bool))
    found = {w.name: w for w in worths(surrogate, every, list(folds(surrogate, every)))}
    assert found["a"].verdict == found["b"].verdict == "kept"
    assert found["b"].left_out is not None
    assert found["b"].left_out[1] > found["b"].left_out[0] + 0.05


def test_places_and_values_are_each_others_inverse() -> None:
    for parameter in engine_parameters(catalog.engines().values()):
        assert value_of(parameter, place_of(parameter, parameter.values[1])) == pytest.approx(
            parameter.values[1]
        )
