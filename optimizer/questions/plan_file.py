"""A plan that was found before: the answer of a solve, as it was written in JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from optimizer.errors import InputError
from optimizer.questions import problems
from optimizer.spec.loading import check_size, read_text, validate
from optimizer.spec.plan import Pool

_MOST_BYTES = 16 << 20
_NEEDED = "an answer of solve in JSON has problem, deployment.pools and metrics"


def is_plan(name: str) -> bool:
    """Whether a name means a file that says what was found, not what is asked."""
    if not name.endswith(".json") or not Path(name).is_file():
        return False
    data = _read(Path(name))
    return not isinstance(data, dict) or bool({"problem", "certificate", "deployment.pools"} & set(data))


def read_plan(path: Path) -> tuple[BaseModel, tuple[Pool, ...], Mapping[str, float]]:
    """The problem, pools and metrics of an answer. InputError for a file that is none, or found no plan."""
    data = _read(path)
    if not isinstance(data, dict) or not isinstance(data.get("problem"), dict):
        raise InputError(f"{path}: holds no problem; {_NEEDED}")
    check_size(data["problem"], f"{path}: problem")
    problem = problems.from_answer(data["problem"], f"{path}: problem")
    deployed = data.get("deployment")
    pools = deployed.get("pools") if isinstance(deployed, dict) else None
    if data.get("status") in ("infeasible", "unknown") and not pools:
        raise InputError(f"{path}: status {data['status']}: there is no plan to replay")
    if not isinstance(pools, list) or not pools:
        raise InputError(f"{path}: holds no deployment.pools; {_NEEDED}")
    found = tuple(validate(Pool, own, f"{path}: deployment.pools.{i}") for i, own in enumerate(pools))
    metrics = data.get("metrics")
    known = metrics if isinstance(metrics, dict) else {}
    return problem, found, {n: float(v) for n, v in known.items() if isinstance(v, int | float)}


def _read(path: Path) -> Any:
    text = read_text(path, "JSON file", _MOST_BYTES)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({str(error)[:120]})") from None
