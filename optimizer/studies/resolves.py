"""Many re-solves of one problem, side by side, journalled, counted and stoppable."""

import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field, replace
from functools import partial
from math import isclose
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from optimizer.questions.question import Ask, Question
from optimizer.spec.studies import Optimum, Work
from optimizer.studies.asking import Questions, text_of
from optimizer.studies.executors import Here
from optimizer.studies.journal import Journal, digest
from optimizer.watch import UNWATCHED, Progress, Stopped, Watch

_POLL_S = 0.2
_SAME = 1e-9


@dataclass
class Resolves:
    """Answers re-solves of one problem: from the journal, or by the executor."""

    problem: BaseModel
    study: dict[str, Any]
    """What tells this study from others, for its journal."""
    executor: Executor = field(default_factory=Here)
    journal_path: Path | None = None
    watch: Watch = UNWATCHED
    questions: Questions = field(default_factory=Questions)
    """What the study has prepared."""

    def __post_init__(self) -> None:
        self.text = text_of(self.problem)
        self.watch.say(Progress("preparing"))
        self.question: Question = self.questions.of(self.text, self.watch)
        self.work = Work()
        self._used: set[str] = set()
        self._start = time.monotonic()
        self._progress = Progress(str(self.study.get("study", "re-solves")), more=True)
        self.prepared = True
        try:
            identity = {"problem": digest(self.question.identity()), **self.study}
        except Stopped:  # the journal stays as it is, for nobody knows whether it is of this problem
            self.prepared, self.journal = False, Journal(None, {})
        else:
            self.journal = Journal(self.journal_path, identity)

    def all(self, asks: Sequence[Ask]) -> list[Optimum]:
        """Answers in the order asked. Raises Stopped; then those that were done are in the journal."""
        return self.each([(self.text, item) for item in asks])

    def each(self, asks: Sequence[tuple[str, Ask]]) -> list[Optimum]:
        """The same for several problems, each given as text."""
        if not self.prepared:
            raise Stopped
        keys = [_key(text, item) for text, item in asks]
        missing = {k: pair for k, pair in zip(keys, asks, strict=True) if self.journal.get(k) is None}
        if missing:
            self._run(missing)
        found = []
        for key, (text, item) in zip(keys, asks, strict=True):
            answer = self.journal.get(key)
            if answer is None:
                raise Stopped
            self.journal.check(key, partial(_right, self.questions.of(text, self.watch), item))
            if key not in self._used:
                self._used.add(key)
                self.work = self.work.plus(answer)
            found.append(answer)
        return found

    def known(self, asks: Sequence[Ask]) -> list[Optimum | None]:
        """What is answered already of some re-solves: when a study is stopped in the middle of them."""
        return [self.journal.get(_key(self.text, item)) for item in asks]

    def one(self, item: Ask) -> Optimum:
        """One answer."""
        return self.all([item])[0]

    def say(self, phase: str, left: int = 0, more: bool = False, points: int | None = None) -> None:
        """What whoever watches is told of the re-solves asked for next, before them and after every answer.

        `left` re-solves are known to come after those, and `more` may turn up.
        """
        self._progress = Progress(phase, points=points, left=left, more=more)

    def _tell(self, asked: int) -> None:
        """How far the study is, with so many answers still out."""
        done = len(self.journal.answers) - self.journal.found
        pace = (time.monotonic() - self._start) / done if done else None
        left = (self._progress.left or 0) + asked
        self.watch.say(replace(self._progress, done=done, left=left, pace_s=pace))

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()

    def _run(self, missing: dict[str, tuple[str, Ask]]) -> None:
        running: dict[Future[Optimum], str] = {}
        out = len(missing)
        quiet = replace(self.watch, tell=None)
        self._tell(out)
        try:
            for key, (text, item) in missing.items():
                self.watch.check()
                future = self.executor.submit(self.questions.ask, text, item, quiet)
                if future.done():
                    self._take(future, key)
                    self._tell(out := out - 1)
                else:
                    running[future] = key
            while running:
                for future in wait(running, timeout=_POLL_S, return_when="FIRST_COMPLETED").done:
                    self._take(future, running.pop(future))
                    self._tell(out := out - 1)
                self.watch.check()
        except Stopped:
            for future in running:
                future.cancel()
            raise Stopped from None

    def _take(self, future: "Future[Optimum]", key: str) -> None:
        self.journal.add(key, future.result())


def _key(text: str, item: Ask) -> str:
    return f"{text}\n{item.model_dump_json()}"


def _right(question: Question, item: Ask, answer: Optimum) -> bool:
    """Whether an answer from a journal has the figures of its plan, priced again, and keeps what was asked.

    That there is no plan cannot be looked at again so cheaply: the line's checksum stands for it.
    """
    if answer.plan is None:
        return True
    metrics = question.priced(answer.plan, {}, item.scaled, item.values).metrics
    said = answer.plan.metrics
    if metrics is None:
        return False
    return set(said) == set(metrics) and all(isclose(said[n], metrics[n], rel_tol=_SAME) for n in said)
