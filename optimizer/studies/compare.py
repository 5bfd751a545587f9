"""Plans, answers and models side by side: what each decides, reaches and assumes, and where they differ."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from optimizer.anatomy.estimate import estimate
from optimizer.blocks import rule_words
from optimizer.errors import InputError
from optimizer.plugins import plugins
from optimizer.questions.options import Options
from optimizer.questions.question import question_of
from optimizer.spec.answer import Answer
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.comparison import Compared, Comparison, ComparisonRow
from optimizer.spec.plan import Deployment, Plan, Pool
from optimizer.spec.setup import Setup
from optimizer.spec.shown import decided_by
from optimizer.studies.solve import solve
from optimizer.version import VERSION

FEWEST, MOST = 2, 12
"""Things set side by side."""
_SAME = 1e-9


@dataclass(frozen=True)
class Side:
    """One thing that is compared: its name, how it ended, and what it decides, reaches and assumes."""

    name: str
    status: str
    decided: Mapping[str, Any]
    metrics: Mapping[str, float]
    assumed: Mapping[str, str]
    units: Mapping[str, str] = field(default_factory=dict)


def compare(sides: Sequence[Side]) -> Comparison:
    """One table of what two or more things decide, reach and assume; rows that differ are marked.

    InputError for fewer than two, or for more than anybody reads.
    """
    if not FEWEST <= len(sides) <= MOST:
        raise InputError(f"compare: {len(sides)} given; from {FEWEST} to {MOST} problems, answers or models")
    units = {name: unit for side in sides for name, unit in side.units.items()}
    rows: list[ComparisonRow] = []
    for section, values in (
        ("decided", [side.decided for side in sides]),
        ("metric", [side.metrics for side in sides]),
        ("assumption", [side.assumed for side in sides]),
    ):
        for name in dict.fromkeys(name for own in values for name in own):
            cells = tuple(own.get(name) for own in values)
            unit = units.get(name, "") if section == "metric" else ""
            differs = not all(_equal(cells[0], cell) for cell in cells)
            rows.append(ComparisonRow(section=section, name=name, values=cells, unit=unit, differs=differs))
    compared = tuple(Compared(name=side.name, status=side.status) for side in sides)
    return Comparison(sides=compared, rows=tuple(rows), version=VERSION)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= _SAME * max(abs(one), abs(other))
    return bool(one == other)


def side_of_problem(problem: BaseModel, options: Options = Options()) -> Side:
    """A problem at its proven optimum, or without one."""
    answer, question = solve(problem, options), question_of(problem)
    known = {name: question.aim(name).unit for name in question.metrics()}
    return side_of_answer(answer, known)


def side_of_answer(answer: Answer, units: Mapping[str, str] | None = None) -> Side:
    """An answer as it is."""
    name = str(answer.problem.get("name", ""))
    decided = {} if answer.plan is None else _decided(answer.plan)
    own = {} if units is None else dict(units)
    own.setdefault(answer.objective.name, answer.objective.unit)
    assumed = {a.name: f"{a.value} ({a.source})" for a in answer.assumptions}
    return Side(name, answer.status, decided, answer.metrics, assumed, own)


def side_of_json(said: Any, name: str) -> Side:
    """What `solve` printed as JSON, of any kind and version; InputError if it is no answer."""
    if not isinstance(said, dict) or not {"status", "objective", "metrics", "problem"} <= said.keys():
        raise InputError(f"{name}: is no answer; give what `archsat solve` prints as JSON, or a problem")
    try:
        plan = _plan(said)
        assumed = {str(a["name"]): f"{a['value']} ({a['source']})" for a in said.get("assumptions", ())}
        own = {str(said["objective"]["name"]): str(said["objective"]["unit"])}
        metrics = {str(n): float(v) for n, v in said["metrics"].items()}
    except (KeyError, TypeError, ValueError, ValidationError, AttributeError):
        raise InputError(f"{name}: is a damaged answer: a field is missing or of another form") from None
    decided = {} if plan is None else _decided(plan)
    return Side(str(said["problem"].get("name", name)), str(said["status"]), decided, metrics, assumed, own)


def _plan(said: Mapping[str, Any]) -> Plan | None:
    """The plan of an answer that was read."""
    if not said["metrics"]:
        return None
    pools = said.get("deployment") or ({"pools": said["stages"]} if said.get("stages") else None)
    estimate_ = said.get("estimate")
    given = {
        "architecture": said.get("architecture"),
        "deployment": pools and Deployment(pools=tuple(Pool.model_validate(p) for p in pools["pools"])),
        "batch": said.get("batch"),
        "setup": estimate_ and estimate_["setup"],
        "metrics": said["metrics"],
    }
    return Plan.model_validate({name: value for name, value in given.items() if value is not None})


def _decided(plan: Plan) -> dict[str, Any]:
    """The model, and what the plan chose."""
    model = {} if plan.designed or plan.architecture is None else {"architecture": plan.architecture}
    return model | decided_by(plan)


def side_of_model(model: Architecture, chip: Chip, setup: Setup) -> Side:
    """A published model on one replica of a chip; the rules it breaks are its status."""
    found = estimate(model, chip, setup)
    status = f"breaks {', '.join(found.breaks)}" if found.breaks else found.status
    decided: dict[str, Any] = {"n_layers": model.n_layers, "d_model": model.d_model}
    decided["vocab_size"] = model.vocab_size
    decided |= {"layers": _layers(model)} | _words(model)
    decided |= {"chip": chip.name, **_split(found.deployment.pools)}
    assumed = {a.name: f"{a.value} ({a.source})" for a in found.assumptions}
    units = {name: str(module.UNIT) for name, module in plugins("objectives").items()}
    return Side(model.name, status, decided, found.metrics, assumed, units)


def _layers(model: Architecture) -> str:
    groups = [f"{g.count} x {g.block.mixer.kind} and {g.block.ffn.kind}" for g in model.layers]
    return ", ".join(groups)


def _words(model: Architecture) -> dict[str, Any]:
    """The dimensions of the first kind of layer that has each."""
    found: dict[str, Any] = {}
    for group in model.layers:
        for half in (group.block.mixer, group.block.ffn):
            found = {**rule_words(half), **found}
    return {name: value for name, value in found.items() if name != "kind"}


def _split(pools: Iterable[Pool]) -> dict[str, Any]:
    [pool] = pools
    return {
        name: value for name, value in pool.model_dump().items() if name not in ("phase", "chip", "replicas")
    }
