"""The constants that rows set: which there are, which share one value, and what each is where it is none."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from optimizer import catalog
from optimizer.spec.engine import Engine

NEUTRAL: dict[str, tuple[float, float, float]] = {
    "host_ms": (0, 0, 100),
    "host_us_per_sequence": (0, 0, 5000),
    "host_us_per_expert_layer": (0, 0, 5000),
    "host_hidden": (0, 0, 1),
    "request_ms": (0, 0, 1000),
    "launch_us_per_layer": (0, 0, 5000),
    "cache_fill": (1, 0.2, 1),
    "expert_skew": (1, 1, 8),
    "data_parallel_balance": (1, 0.3, 1),
    "compute": (1, 0.2, 1.6),
    "attention_decode": (1, 0.1, 1.6),
    "all_reduce": (1, 0.05, 1.6),
    "all_reduce_us": (0, 0, 1000),
    "network_all_reduce_us": (0, 0, 5000),
}
"""Figures of engines: the value at which it does nothing, and its limits."""
CHIPS = {
    ("nvidia-a100-80-sxm", "host_speed"),
    ("amd-mi300x", "attention_decode"),
}
"""Figures of chips that were set on rows of points, as their files say; without them, the fallback's."""
_NODES = (0.0, 0.4, 1.0, 1.8, 3.5)
_AS = re.compile(r"^as .*\(engines/([\w.-]+)\.yaml\)")
_NOT = re.compile(r"not fitted|before any comparison|as for llama|engine's default|three reports")


@dataclass(frozen=True)
class Parameter:
    """One constant: who has it, and its value at some places, 0 where it does nothing and 1 as it ships."""

    name: str
    figure: str
    owners: tuple[str, ...]
    places: tuple[float, ...]
    values: tuple[float, ...]
    start: float = 0.5
    of_chip: bool = False


def engine_parameters(engines: Iterable[Engine]) -> list[Parameter]:
    """Constants of engines that do something and that rows set; those that share a source are one."""
    groups: dict[tuple[str, str], list[Engine]] = {}
    for engine in engines:
        for figure, (neutral, *_) in NEUTRAL.items():
            if getattr(engine, figure) != neutral and not _NOT.search(engine.source(figure)):
                groups.setdefault((figure, _owner(engine, figure)), []).append(engine)
    return [_parameter(figure, owner, own) for (figure, owner), own in sorted(groups.items())]


def _owner(engine: Engine, figure: str) -> str:
    """The first engine that has the figure from where this one has it."""
    said = _AS.match(engine.source(figure))
    theirs = catalog.engines().get(said[1]) if said and said[1] != engine.name else None
    if theirs is not None and getattr(theirs, figure) == getattr(engine, figure):
        return _owner(theirs, figure)
    own = (getattr(engine, figure), engine.source(figure))
    return min(e.name for e in catalog.engines().values() if (getattr(e, figure), e.source(figure)) == own)


def _parameter(figure: str, owner: str, engines: list[Engine]) -> Parameter:
    neutral, low, high = NEUTRAL[figure]
    shipped = float(getattr(catalog.engines()[owner], figure))
    values = [min(max(neutral + (shipped - neutral) * node, low), high) for node in _NODES]
    nodes = {round((v - neutral) / (shipped - neutral), 9): v for v in values}
    names = tuple(sorted(engine.name for engine in engines))
    return Parameter(f"{owner} {figure}", figure, names, tuple(nodes), tuple(nodes.values()))


def chip_parameters() -> list[Parameter]:
    """Constants of chips that rows set."""
    found = []
    for name, figure in sorted(CHIPS):
        neutral, shipped = (
            (1.0, catalog.chips()[name].efficiency.host_speed)
            if figure == "host_speed"
            else (0.7, catalog.chips()[name].efficiency.attention_decode["bf16"].memory)
        )
        values = tuple(neutral + (shipped - neutral) * node for node in (0.0, 0.5, 1.0, 1.4))
        found.append(
            Parameter(f"{name} {figure}", figure, (name,), (0.0, 0.5, 1.0, 1.4), values, of_chip=True)
        )
    return [p for p in found if p.values[0] != p.values[2]]
