"""A plan of any kind in a few words, for a table, a hover or a line."""

from collections.abc import Callable

from optimizer.report.numbers import count
from optimizer.report.replicas import replicas_of
from optimizer.spec.plan import Plan


def _dimension(name: str) -> Callable[[Plan], str]:
    return lambda plan: str(getattr(plan.dimensions, name))


def _split(name: str) -> Callable[[Plan], str]:
    return lambda plan: str(getattr(plan.pools[0], name))


_WHERE: dict[str, Callable[[Plan], str]] = {
    "params": lambda plan: count(plan.dimensions.n_params),
    "layers": _dimension("n_layers"),
    "d_model": _dimension("d_model"),
    "heads": _dimension("n_heads"),
    "kv": _dimension("n_kv_heads"),
    "d_head": _dimension("d_head"),
    "d_ff": _dimension("d_ff"),
    "chip": _split("chip"),
    "TP": _split("tensor_parallel"),
    "batch": _split("batch"),
    "weights": _split("weight_dtype"),
    "cache": _split("kv_dtype"),
}


def names_of(plan: Plan) -> dict[str, str]:
    """A plan's dimensions and deployment, as text, for a table or a hover."""
    if not plan.designed:
        return replicas_of(plan)
    return {name: read(plan) for name, read in _WHERE.items()}
