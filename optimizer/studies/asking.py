"""From a problem to its `Question`, and re-solves as plain functions of plain data, for any executor."""

import json
import threading
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from optimizer.questions.kinds import kind_of
from optimizer.questions.question import Ask, Question, question_of
from optimizer.spec.studies import Optimum
from optimizer.watch import UNWATCHED, Watch

_KEPT = 8
"""Problems prepared at the same time."""


def text_of(problem: BaseModel) -> str:
    """A problem as text from which `Questions` makes the same problem."""
    return problem.model_dump_json(exclude_unset=True)


class Questions:
    """The questions of one study, with what they have prepared so far: each thread has its own.

    Made when a study starts, for files that a problem names may have changed since the last. A worker in
    another process or on another machine gets questions of its own, kept for as long as it serves the study.
    """

    def __init__(self, study: str | None = None) -> None:
        self._study = study or uuid4().hex
        self._own = threading.local()

    def of(self, problem_json: str, watch: Watch = UNWATCHED) -> Question:
        """The question of a problem, as this thread has prepared it; one study has one watch."""
        known: dict[str, Question] | None = getattr(self._own, "known", None)
        if known is None:
            known = self._own.known = {}
        if problem_json not in known:
            if len(known) >= _KEPT:
                known.clear()
            model: Any = kind_of(json.loads(problem_json)).load()
            known[problem_json] = question_of(model.model_validate_json(problem_json), watch)
        return known[problem_json]

    def ask(self, problem_json: str, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """Answer one re-solve; runs in any thread, process or machine."""
        return self.of(problem_json, watch).optimum(asked, watch)

    def __reduce__(self) -> Any:
        return _in_worker, (self._study,)


_serving: dict[str, Questions] = {}
"""In a worker: the study that it serves, by name. Studies share nothing."""
_lock = threading.Lock()


def _in_worker(study: str) -> Questions:
    """A study's questions in the process that its pickled ones have come to."""
    with _lock:
        if study not in _serving:
            while len(_serving) >= _KEPT:
                del _serving[next(iter(_serving))]
            _serving[study] = Questions(study)
        return _serving[study]
