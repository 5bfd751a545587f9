"""Metrics by name: the value of a metric file on a slice, and all metrics of one whole plan."""

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

from optimizer.cost.frame import Frame, Slice
from optimizer.cost.offered import Offered
from optimizer.cost.quantities import QUANTITIES, Quantity
from optimizer.cost.training.run import Run
from optimizer.errors import InputError, InternalMismatch, nearest
from optimizer.plugins import plugins
from optimizer.spec.architecture import Architecture


def metric(name: str, form: str = "value") -> Any:
    """The metric's module; InputError with the nearest names if there is none with this form."""
    known = having(form)
    if name not in known:
        also = having("holding") if form == "value" else {}
        known = known | also
        hint = nearest(name, list(known)) or f" Accepted: {', '.join(known)}."
        raise InputError(f"unknown metric '{name[:64]}'.{hint}")
    return known[name]


def of_architectures(name: str) -> Any:
    """A metric that architectures have, of a quantity or of what there is room for; InputError else."""
    return metric(name, "holding" if name in having("holding") else "value")


def having(form: str) -> dict[str, ModuleType]:
    """The metrics of one form (`optimizer.objectives`), by name."""
    return {name: module for name, module in plugins("objectives").items() if hasattr(module, form)}


def listed(*forms: str) -> tuple[str, ...]:
    """Metrics that have any of these forms, as people list them: by RANK, those without one last."""
    found = {name: module for form in forms for name, module in having(form).items()}
    return tuple(sorted(found, key=lambda name: (getattr(found[name], "RANK", _LAST), name)))


_LAST = 1000


def totals() -> tuple[str, ...]:
    """Totals over the chips of a plan."""
    return listed("each")


def counted() -> tuple[str, ...]:
    """What a plan of replicas can be made small in: totals over chips, and nodes."""
    return listed("each", "PACKED")


def latencies() -> dict[str, str]:
    """Latencies of plans of replicas, each with the mode of replicas that has none."""
    return {name: str(having("ABSENT_IN")[name].ABSENT_IN) for name in listed("ABSENT_IN")}


def traffic() -> tuple[str, ...]:
    """What counts the requests that a plan serves."""
    return listed("per_request")


def held_sums() -> tuple[str, ...]:
    """What replicas have room for, added up over a plan."""
    return tuple(name for name in listed("held") if having("held")[name].OF_A_PLAN == "sum")


def held_least() -> tuple[str, ...]:
    """What every replica of a plan has room for."""
    return tuple(name for name in listed("held") if having("held")[name].OF_A_PLAN == "least")


def trained(run: Run) -> dict[str, float]:
    """Every metric of a training run; those that lack a fact (a price) are left out."""
    found = {name: metric(name, "trained").trained(run) for name in listed("trained")}
    return {name: float(value) for name, value in found.items() if value is not None}


def quantity(name: str) -> Quantity:
    """An additive quantity: one of `QUANTITIES`, or the memory of plans that hold tokens (`tokens_held`)."""
    return QUANTITIES[name] if name in QUANTITIES else _memory_with(*name.split(_OF))


_OF = " of "


def tokens_held(name: str, tokens: float) -> str:
    """The quantity that decides whether a plan has room for so many tokens in the sense of a metric."""
    return f"{name}{_OF}{tokens!r}"


@cache
def _memory_with(name: str, tokens: str) -> Quantity:
    module = metric(name, "holding")
    return QUANTITIES["memory_bytes"].seen_from(lambda frame: module.holding(frame, float(tokens)))


def held(frame: Frame, architecture: Architecture, names: Sequence[str] | None = None) -> dict[str, float]:
    """Every metric of what a replica has room for, or some of them."""
    wanted = listed("held") if names is None else names
    return {name: float(metric(name, "held").held(frame, architecture)) for name in wanted}


def unit(name: str) -> str:
    """Unit of a metric of any form."""
    return str(metric(name, "UNIT").UNIT)


def unit_of_bound(name: str) -> str:
    """Unit of what a rule bounds: of a metric, or a share of what there is."""
    return unit(name) if name in having("UNIT") else "of the usable memory" * (name == "memory_capacity")


def scale(name: str) -> int:
    """Whole units in one of a metric's unit, in which planners add it up; chips of a kind are one each."""
    return 1 if name.startswith("inventory:") else int(metric(name, "SCALE").SCALE)


def is_whole(name: str) -> bool:
    """Whether a metric counts whole things."""
    return name in having("SCALE") and scale(name) == 1


def each(name: str, chip: Offered) -> float | None:
    """What one chip adds to a total: a whole number of 1/SCALE of its unit; None where nobody says.

    Rounding is part of the metric: planners and checkers add up the same figures, whatever a file multiplies.
    """
    own = metric(name, "each")
    value = own.each(chip)
    if value is None:
        return None
    if value < 0:
        raise InternalMismatch(f"{name}: a {chip.name} adds {value:g}; of a total no chip may take away")
    return float(round(value * own.SCALE) / own.SCALE)


_STEP = 1e-6


def step_of(name: str) -> float:
    """The step that a metric is resolved to, where it is not the first objective: its file's, else 1e-6."""
    return float(getattr(metric(name, "UNIT"), "STEP", _STEP))


def sign(name: str) -> int:
    """+1 where lower is better, -1 where higher is."""
    return 1 if metric(name, "BETTER").BETTER == "lower" else -1


def evaluate(frame: Frame, architecture: Architecture) -> dict[str, float]:
    """Every metric of an architecture in a frame; those that lack a fact (a price) are left out."""
    totals = {name: q.total(frame, architecture) for name, q in QUANTITIES.items()}
    return values_of(frame, architecture.n_layers, totals)


def values_of(frame: Frame, n_layers: int, totals: dict[str, float]) -> dict[str, float]:
    """Every metric of the additive quantities of a plan."""
    at, found = Slice(frame, n_layers), {}
    for name, module in having("value").items():
        try:
            found[name] = float(module.value(at, totals[module.QUANTITY]))
        except InputError:
            continue
    return found
