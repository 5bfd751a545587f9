"""The cross product of problems as one study: each solved to its proven optimum."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from optimizer.anatomy.chips_assumed import named
from optimizer.errors import InputError
from optimizer.questions.options import Options
from optimizer.questions.question import Ask
from optimizer.spec.answer import Assumption
from optimizer.spec.loading import validate
from optimizer.spec.studies import Optimum, Sweep, SweepRow
from optimizer.studies.asking import text_of
from optimizer.studies.executors import Here
from optimizer.studies.resolves import Resolves
from optimizer.version import VERSION
from optimizer.watch import Stopped

MOST = 10_000
"""Problems of one sweep at most."""
_AT_ONCE = 64


def sweep(
    problem: BaseModel,
    over: Mapping[str, Sequence[Any]],
    executor: Executor | None = None,
    journal: Path | None = None,
    options: Options = Options(),
) -> Sweep:
    """Solve a problem with every combination of values of some fields ('workload.batch': [1, 8]).

    A combination that is no valid problem is a row with the reason, not an error.
    """
    if not over:
        raise InputError("over: names no field, such as workload.batch")
    size = prod(len(values) for values in over.values())
    if not 0 < size <= MOST:
        raise InputError(f"over: {size} problems; from 1 to {MOST} are accepted")
    study = {"study": "sweep", "over": {name: list(values) for name, values in over.items()}}
    resolves = Resolves(problem, study, executor or Here(), journal, options.watch())
    try:
        return _run(problem, over, resolves)
    finally:
        resolves.close()


def _run(problem: BaseModel, over: Mapping[str, Sequence[Any]], resolves: Resolves) -> Sweep:
    aim = resolves.question.own_aims()[0]
    combinations = [dict(zip(over, values, strict=True)) for values in product(*over.values())]
    rows: list[SweepRow] = []
    status = "complete"
    for start in range(0, len(combinations), _AT_ONCE):
        part = [_posed(problem, at, resolves) for at in combinations[start : start + _AT_ONCE]]
        live = [posed for posed in part if isinstance(posed, tuple)]
        resolves.say("sweep", left=max(0, len(combinations) - start - _AT_ONCE))
        try:
            answers = iter(resolves.each(live))
        except Stopped:
            status = "partial"
            break
        for at, posed in zip(combinations[start:], part, strict=False):
            rows.append(_row(at, posed if isinstance(posed, str) else next(answers)))
    return Sweep(
        status=status,
        objective=aim,
        over={name: tuple(values) for name, values in over.items()},
        rows=tuple(rows),
        work=resolves.work,
        confirmed_by=resolves.question.witnesses(resolves.work),
        assumptions=_cautions(resolves, rows),
        version=VERSION,
        problem=problem.model_dump(mode="json", exclude_unset=True),
    )


def _cautions(resolves: Resolves, rows: Sequence[SweepRow]) -> tuple[Assumption, ...]:
    """What nobody measured of the problem's own chips, and of those that the sweep asks with."""
    plans = [row.plan for row in rows if row.plan]
    own = {row.name: row for row in resolves.question.cautions(plans)}
    swept = [str(row.at["hardware"]) for row in rows if row.plan and "hardware" in row.at]
    return tuple(({row.name: row for row in named(swept)} | own).values())


def _posed(problem: BaseModel, at: Mapping[str, Any], resolves: Resolves) -> tuple[str, Ask] | str:
    """The problem with some fields set, and what is asked of it; or why it cannot be asked."""
    data = problem.model_dump(mode="json", exclude_unset=True)
    try:
        for path, value in at.items():
            _put(data, path, value)
        text = text_of(validate(type(problem), data, ", ".join(f"{k}={v}" for k, v in at.items())))
        question = resolves.questions.of(text, resolves.watch)
        aims = question.own_aims()
    except InputError as error:
        return str(error)
    return text, Ask(aims=aims)


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    place: Any = data
    for parent in parents:
        place = place.setdefault(parent, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict) or not last or path.startswith("documents"):
        raise InputError(f"over {path[:80]}: names no field of the problem that can be swept")
    place[last] = value


def _row(at: dict[str, Any], answer: Optimum | str) -> SweepRow:
    if isinstance(answer, str):
        return SweepRow(at=at, status="invalid", plan=None, reason=answer)
    return SweepRow(at=at, status="infeasible" if answer.plan is None else "optimal", plan=answer.plan)
