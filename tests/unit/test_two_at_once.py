"""Studies in threads of one process answer as each does alone, and a cancel of one leaves the others.

Guards that studies share nothing: what is prepared belongs to its study, and what crosses to a worker is
named after it.
"""

import json
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import samples

from optimizer import Options, frontier, perturb, solve
from optimizer.report.json import to_json
from optimizer.studies.asking import Questions, text_of
from optimizer.watch import Stopped, Watch

PROBLEM = samples.problem()
OTHER = samples.problem(constraints={"loss_max": 2.22}, deployment={"tensor_parallel": [1, 2]})
NAMES, STEPS = ("tpot_ms", "loss"), {"loss": 2e-5}
STUDIES: list[Callable[[], Any]] = [
    lambda: solve(PROBLEM),
    lambda: frontier(PROBLEM, NAMES, STEPS),
    lambda: perturb(PROBLEM),
    lambda: solve(OTHER),
    lambda: frontier(OTHER, NAMES, STEPS),
    lambda: perturb(OTHER),
    lambda: frontier(PROBLEM, NAMES, STEPS, executor=ThreadPoolExecutor(3)),
]


def text(study: Callable[[], Any]) -> str:
    data = json.loads(to_json(study()))
    data.pop("wall_s", None)
    return json.dumps(data)


def test_studies_in_threads_are_studies_alone() -> None:
    alone = [text(study) for study in STUDIES]
    assert alone[-1] == alone[1]
    with ThreadPoolExecutor(len(STUDIES)) as pool:
        assert list(pool.map(text, STUDIES)) == alone


def test_a_cancel_of_one_leaves_the_other() -> None:
    stop, told = threading.Event(), threading.Event()
    whole = text(STUDIES[1])

    def tell(progress: Any) -> None:
        told.set()
        stop.wait(10)  # inside the study that is to be cancelled, until it is

    with ThreadPoolExecutor(2) as pool:
        cut = pool.submit(frontier, PROBLEM, NAMES, STEPS, options=Options(cancelled=stop.is_set, tell=tell))
        other = pool.submit(text, STUDIES[1])
        assert told.wait(60)
        assert other.result() == whole
        stop.set()
        assert cut.result().status in ("partial", "unknown")


@pytest.mark.parametrize("where", ["here", "threads"])
def test_a_cancel_reaches_the_re_solves(where: str) -> None:
    """Also one that is under way: it looks at the study's own watch."""
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 40

    executor = ThreadPoolExecutor(2) if where == "threads" else None
    found = frontier(PROBLEM, NAMES, STEPS, executor=executor, options=Options(cancelled=cancelled))
    assert found.status in ("partial", "unknown")


def test_questions_that_cross_are_found_again_by_their_study() -> None:
    mine, others = Questions(), Questions()
    first, second = (pickle.loads(pickle.dumps(mine)) for _ in range(2))
    assert first is second
    assert first is not mine
    assert pickle.loads(pickle.dumps(others)) is not first
    assert first.of(text_of(PROBLEM)) is second.of(text_of(PROBLEM))
    assert mine.of(text_of(PROBLEM)) is not first.of(text_of(PROBLEM))


def test_each_thread_has_questions_of_its_own() -> None:
    mine = Questions()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(mine.of, text_of(PROBLEM)).result()
    assert other is not mine.of(text_of(PROBLEM))


def test_a_watch_that_crosses_keeps_the_time_left() -> None:
    watch = pickle.loads(pickle.dumps(Watch.within(100, cancelled=lambda: True)))
    assert watch.left() == pytest.approx(100, abs=5)
    assert not watch.over
    assert pickle.loads(pickle.dumps(Watch())).left() is None
    ended = Watch.within(0.005)
    sent = pickle.dumps(ended)
    time.sleep(0.02)
    with pytest.raises(Stopped):
        pickle.loads(sent).check()
