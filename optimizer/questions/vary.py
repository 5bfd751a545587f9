"""Constants of a problem and its hardware by dotted path: read one, or make the problem with it scaled."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from optimizer.errors import InputError, nearest
from optimizer.spec.base import Strict
from optimizer.spec.chip import Chip

HARDWARE = "hardware."
P = TypeVar("P", bound=BaseModel)


def scaled_chip(chip: Chip, factors: Mapping[str, float]) -> Chip:
    """The chip with some figures times a factor; paths as in its file: 'efficiency.gemm.bf16.compute'.

    They may begin with `hardware.`.
    """
    for path, factor in factors.items():
        own = path.removeprefix(HARDWARE)
        chip = _scaled(chip, own.split("."), factor, f"{HARDWARE}{own}")
    return chip


def own_and_figures(factors: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Factors of a problem's own numbers, and those of figures of its hardware."""
    figures = {path: factor for path, factor in factors.items() if path.startswith(HARDWARE)}
    return {path: factor for path, factor in factors.items() if path not in figures}, figures


def has_figure(chip: Chip, path: str) -> bool:
    """Whether the chip states this figure."""
    try:
        scaled_chip(chip, {path: 1.0})
    except InputError:
        return False
    return True


def _scaled(node: Any, parts: list[str], factor: float, path: str) -> Any:
    known = _fields(node)
    name = {str(key): key for key in known}.get(parts[0])
    if name is None or (inner := known[name]) is None:
        figures = [str(key) for key, value in known.items() if _numeric(value)]
        hint = nearest(parts[0], figures) or f" Accepted: {', '.join(figures)}."
        raise InputError(f"{path}: '{parts[0][:64]}' is no figure of this chip.{hint}")
    if len(parts) > 1:
        changed = _scaled(inner, parts[1:], factor, path)
    elif isinstance(inner, bool) or not isinstance(inner, int | float):
        raise InputError(f"{path}: is no number; go on with one of {', '.join(map(str, _fields(inner)))}")
    else:
        changed = inner * factor if isinstance(inner, float) else max(1, round(inner * factor))
    if isinstance(node, Strict):
        return node.supposed(**{name: changed})
    return {**node, name: changed}


def _fields(node: Any) -> dict[Any, Any]:
    if isinstance(node, BaseModel):
        return {name: getattr(node, name) for name in type(node).model_fields}
    return dict(node) if isinstance(node, Mapping) else {}


def _numeric(value: Any) -> bool:
    """Whether a figure is a number, or holds numbers."""
    if isinstance(value, BaseModel | Mapping):
        return any(_numeric(inner) for inner in _fields(value).values())
    return isinstance(value, int | float) and not isinstance(value, bool)


def number_at(problem: BaseModel, path: str) -> float:
    """A number of the problem by dotted path; InputError if there is none."""
    node: Any = problem
    for part in path.split("."):
        known = _fields(node)
        if part not in known:
            numbers = [str(key) for key, value in known.items() if _numeric(value)]
            hint = nearest(part, numbers) or f" Accepted: {', '.join([*numbers, 'hardware'])}."
            raise InputError(f"{path}: '{part[:64]}' is no number of the problem.{hint}")
        node = known[part]
    if isinstance(node, bool) or not isinstance(node, int | float):
        raise InputError(f"{path}: is not one number; name a number such as workload.input_tokens")
    return float(node)


def scaled_problem(problem: P, factors: Mapping[str, float]) -> P:
    """The problem with some of its numbers times a factor; whole numbers stay whole."""
    data = problem.model_dump(mode="json", exclude_unset=True)
    for path, factor in factors.items():
        old = number_at(problem, path)
        new = old * factor
        whole = old.is_integer() and abs(old) >= 1 and not path.startswith("constraints.")
        *parents, last = path.split(".")
        place = data
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = round(new) if whole else new
    try:
        return type(problem).model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{', '.join(factors)}: {where}: {first['msg']}") from None
