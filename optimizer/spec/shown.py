"""How answers show themselves in Python: one line at a prompt, a table in a notebook, a frame on request."""

from collections.abc import Iterable
from html import escape
from importlib import import_module
from typing import Any

from optimizer.spec.base import Strict
from optimizer.spec.split import DEGREES, FORMATS

_ROWS_SHOWN = 50


class Shown(Strict):
    """An answer that prints in a line; `headline` and `table` say what it holds."""

    def headline(self) -> str:
        """The answer in a line."""
        raise NotImplementedError

    def table(self) -> list[dict[str, Any]]:
        """The answer as rows of a table with the same columns."""
        raise NotImplementedError

    def to_frame(self) -> Any:
        """The rows as a pandas DataFrame; pandas comes with OR-Tools."""
        pandas: Any = import_module("pandas")
        return pandas.DataFrame(self.table())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.headline()})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = self.table()
        heads = "".join(f"<th>{escape(str(name))}</th>" for name in (rows[0] if rows else {}))
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row.values()) + "</tr>"
            for row in rows[:_ROWS_SHOWN]
        )
        more = f"<p>{len(rows) - _ROWS_SHOWN} more rows</p>" if len(rows) > _ROWS_SHOWN else ""
        return f"<p>{escape(self.headline())}</p><table><tr>{heads}</tr>{body}</table>{more}"


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


class Solved(Shown):
    """The answer to one problem of any kind: status, objective and metrics."""

    def headline(self) -> str:
        """Name of the problem, status, objective."""
        told: Any = self
        o = told.objective
        reached = "no plan" if o.value is None else f"{o.name} {o.value:.6g} {o.unit}".rstrip()
        return f"{told.problem.get('name', '')}: {told.status}, {reached}"

    def table(self) -> list[dict[str, Any]]:
        """One row a metric."""
        told: Any = self
        return [{"metric": name, "value": value} for name, value in told.metrics.items()]


_STAGE = ("tensor_parallel", "recompute", "zero_stage")
_POOL = ("chip", "tensor_parallel", "batch", *FORMATS, "chips")


def decided_by(plan: Any) -> dict[str, Any]:
    """What a plan of any kind decides, as cells of a table: dimensions, setup, or pools in words."""
    if plan.designed:
        own = {"n_params": plan.dimensions.n_params, **plan.dimensions.decided}
        return own | {name: getattr(plan.pools[0], name) for name in _POOL}
    if plan.setup is not None:
        setup: dict[str, Any] = plan.setup.model_dump()
        return setup
    if plan.pools and plan.pools[0].recompute:
        return _stages(plan)
    pools = [
        f"{pool.service} {pool.replicas} {pool.phase} on {pool.chip} tp{pool.split.tensor_parallel}".strip()
        for pool in plan.pools
    ]
    said = [name for name in DEGREES if any(name in pool.split.mentioned() for pool in plan.pools)]
    names = ("chip", "phase", *said, *FORMATS)
    chosen = {name: _joined(getattr(pool, name) for pool in plan.pools) for name in names}
    batch = {} if plan.batch is None else {"batch": plan.batch}
    return chosen | batch | {"pools": ", ".join(pools)}


def _stages(plan: Any) -> dict[str, Any]:
    """What a training run over clusters decides."""
    first, split = plan.pools[0], plan.pools[0].split
    chosen = {name: _joined(getattr(pool, name) for pool in plan.pools) for name in ("chip", *_STAGE)}
    shared = {"data_parallel": split.data_parallel, "microbatch": first.batch}
    layers = (f"{pool.layers[0]} on {pool.chip} tp{pool.split.tensor_parallel}" for pool in plan.pools)
    return chosen | shared | {"stages": ", ".join(layers)}


def _joined(values: Iterable[Any]) -> Any:
    """One value, or all that there are."""
    distinct = sorted(set(values))
    return distinct[0] if len(distinct) == 1 else " and ".join(map(str, distinct))


def plan_row(plan: Any) -> dict[str, Any]:
    """A plan as one row: its dimensions or pools, then its metrics."""
    row: dict[str, Any] = {}
    if isinstance(plan.architecture, Strict):
        row |= plan.architecture.model_dump()
    pools = plan.pools
    if len(pools) == 1:
        row |= {name: value for name, value in pools[0].model_dump().items() if name != "phase"}
    else:
        row["pools"] = ", ".join(f"{p.replicas} {p.phase} on {p.chip}" for p in pools)
    row |= plan.metrics
    return row
