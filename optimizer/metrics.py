"""Metrics by name: the value of a metric file on a slice, and all metrics of one whole plan."""

from typing import Any

from optimizer.cost.frame import Frame, Slice
from optimizer.cost.quantities import QUANTITIES
from optimizer.errors import InputError, nearest
from optimizer.plugins import plugins
from optimizer.spec.architecture import Architecture


def metric(name: str) -> Any:
    """The metric's module; InputError with the nearest names if there is none."""
    known = plugins("objectives")
    if name not in known:
        hint = nearest(name, list(known)) or f" Accepted: {', '.join(known)}."
        raise InputError(f"unknown metric '{name[:64]}'.{hint}")
    return known[name]


_STEPS = {
    "ms": 1e-3,
    "s": 1e-6,
    "days": 1e-3,
    "GiB": 2.0**-10,
    "parameters": 1e6,
    "nats": 1e-5,
    "tokens/s": 0.1,
    "requests/s": 1e-3,
    "chips": 1.0,
    "nodes": 1.0,
    "USD": 1e-4,
    "USD/h": 0.01,
    "W": 1.0,
}
"""Resolution by unit: microseconds, MiB, cents, millions of parameters; finer than costs are right."""
_STEP = 1e-6


def step_of(unit: str) -> float:
    """The step that a metric of a unit is resolved to, where it is not the first objective."""
    return _STEPS.get(unit, _STEP)


def sign(name: str) -> int:
    """+1 where lower is better, -1 where higher is."""
    return 1 if metric(name).BETTER == "lower" else -1


def evaluate(frame: Frame, architecture: Architecture) -> dict[str, float]:
    """Every metric of an architecture in a frame; those that lack a fact (a price) are left out."""
    totals = {name: q.total(frame, architecture) for name, q in QUANTITIES.items()}
    return values_of(frame, architecture.n_layers, totals)


def values_of(frame: Frame, n_layers: int, totals: dict[str, float]) -> dict[str, float]:
    """Every metric of the additive quantities of a plan."""
    at, found = Slice(frame, n_layers), {}
    for name, module in plugins("objectives").items():
        try:
            found[name] = float(module.value(at, totals[module.QUANTITY]))
        except InputError:
            continue
    return found
