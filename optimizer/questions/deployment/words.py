"""The nearest change of a bound on a deployment, in words."""

from optimizer.columns.scenarios import Uncertain, part_of
from optimizer.metrics import counted, latencies, listed, unit


def looser(name: str, now: float, needed: float) -> float:
    """The bound that is needed, or the present one if that already does."""
    if part_of(name) is not None:
        return needed  # never beyond the present one
    floors = name in ("requests_per_s", "spares") or name.endswith("_min")
    return min(now, needed) if floors else max(now, needed)


def sentence(name: str, to: float, percentile: float | None = None, robust: Uncertain | None = None) -> str:
    """A relaxation in words; latencies are of a percentile of requests, or of full replicas."""
    if name == "requests_per_s":
        return f"{to:g} requests/s would do"
    if name.startswith("inventory:"):
        return f"{to:g} chips of {name.partition(':')[2]} would do"
    if name == "spares":
        return f"{to:g} spare{'s' * (to != 1)} would do"
    if (part := part_of(name)) is not None:
        return _worse(part, to, robust or Uncertain())
    if name == "memory_capacity":
        return f"{to:g} times the usable memory would do"
    if name.endswith("_min"):
        return f"{name.removesuffix('_min')} at least {to:,.0f} {unit_of_rule(name)} would do"
    metric = name.removesuffix("_max")
    high = f" p{percentile:g}" if percentile is not None and metric in latencies() else ""
    return f"{metric}{high} at most {to:g} {unit_of_rule(name)}".strip() + " would do"


def _worse(part: str, to: float, robust: Uncertain) -> str:
    """How wrong something may go and a plan holds."""
    if to == robust.nothing(part):
        return f"leaving {part} out would do"
    if part == "losses":
        return f"{to:g} lost would do"
    if part in robust.by_share:
        return f"{part} {to:g} of the way there would do"
    return f"{part} x{to:g} would do"


def unit_of_rule(name: str) -> str:
    """The unit of a bound; '' for none."""
    if name.startswith("inventory:"):
        return "chips"
    metric = name.removesuffix("_max").removesuffix("_min")
    return unit(metric) if metric in (*latencies(), *counted(), *listed("held")) else ""
