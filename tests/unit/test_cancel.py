"""A cancel reaches engines that run outside Python, and ends them long before their own limit."""

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from optimizer.search.programme import Programme
from optimizer.solver import mathopt
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.solver.mathopt import propose
from optimizer.solver.proving import _better
from optimizer.watch import Watch

LONG_S = 600.0


def market_split() -> Programme:
    """Five rows of sums over sixty coins: small, and out of reach of every engine here."""
    draw = random.Random(1)
    m = Programme()
    coins = [m.variable(0, 1) for _ in range(60)]
    for _ in range(5):
        weights = [draw.randrange(10**5, 10**6) for _ in coins]
        m.row(dict(zip(coins, weights, strict=True)), low=sum(weights) // 2, high=sum(weights) // 2)
    m.objective = {coin: draw.randrange(1, 10**6) for coin in coins}
    return m


ENGINES: dict[str, Callable[[Programme, Watch], Any]] = {
    "CP-SAT": lambda m, watch: _better(m, None, SolveSettings(), watch),
    "SCIP": lambda m, watch: propose(m, "GSCIP", watch),
    "HiGHS": lambda m, watch: propose(m, "HIGHS", watch),
}


@pytest.mark.parametrize("name", ENGINES)
def test_a_cancel_ends_an_engine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimizer.solver.proving._CONFIRM_WORK", LONG_S)
    asked = threading.Event()
    timer = threading.Timer(1.5, asked.set)
    timer.start()
    watch = Watch.within(LONG_S, asked.is_set)
    found = ENGINES[name](market_split(), watch)
    timer.cancel()
    assert found.status == "unknown"
    assert asked.is_set()
    assert (watch.left() or 0) > LONG_S / 2


@pytest.mark.parametrize("name", ["GSCIP", "HIGHS"])
def test_a_process_of_its_own_says_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    m = Programme()
    five, two = m.variable(0, 9), m.variable(0, 9)
    m.row({five: 5, two: 2}, low=17)
    m.objective = {five: 5, two: 2}
    here = propose(m, name)
    honest = mathopt
    slow = honest.Proposal("unknown", (), None)
    monkeypatch.setattr(honest, "_HERE_S", 0.0)
    monkeypatch.setattr(honest, "_here", lambda *_: slow)
    assert propose(m, name, Watch(cancelled=lambda: False)) == here
    assert here.status == "optimal"


def test_a_part_of_the_work_ends_no_later_than_the_whole() -> None:
    assert Watch().at_most(5).left() == pytest.approx(5, abs=1)
    assert Watch.within(3).at_most(500).left() == pytest.approx(3, abs=1)
    assert Watch.within(500).at_most(3).left() == pytest.approx(3, abs=1)
