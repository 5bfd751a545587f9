"""What may go wrong at the same time, once more for checks: each case by itself, in fractions.

Cases are all choices of at most so many parts, none left out for being milder than another. It shares no code
with the scenarios that are planned for (columns/scenarios.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from optimizer.columns.scenarios import PREFIX, Spread, Uncertain
from optimizer.questions.deployment.check_loads import exact
from optimizer.spec.robust import PARTS

_SAME = Spread(1.0, 1.0, 1.0)
_ONE = Fraction(1)


@dataclass(frozen=True)
class Case:
    """What goes wrong at the same time."""

    parts: tuple[str, ...]
    words: str
    slow: Fraction = _ONE
    traffic: Fraction = _ONE
    rate: Fraction = _ONE
    bands: Mapping[str, Fraction] | None = None
    """How much of the band of latencies, or of rates, is meant."""
    lost: int = 0

    def factors(self, uncertain: Uncertain, chip: str, engine: str) -> tuple[dict[str, Fraction], Fraction]:
        """What latencies of a chip on an engine are multiplied by, by name, and what rates are."""
        spread = uncertain.spreads.get((chip, engine), _SAME)
        slow = {f"{n}_ms": self.slow * self._reach("latency", getattr(spread, n)) for n in ("ttft", "tpot")}
        return slow, min(self.rate * self._reach("rate", spread.rate), 1 / slow["tpot_ms"])

    def _reach(self, part: str, end: float) -> Fraction:
        """What a band that ends there multiplies by."""
        return 1 + (self.bands or {}).get(part, Fraction(0)) * (exact(end) - 1)


def cases(uncertain: Uncertain, bounds: Mapping[str, float]) -> Iterator[Case]:
    """Every choice of what goes wrong under some bounds, nothing first."""
    parts = [part for part in PARTS if PREFIX + part in bounds]
    most = len(parts) if uncertain.at_once is None else uncertain.at_once
    for size in range(min(most, len(parts)) + 1):
        for some in combinations(parts, size):
            for hour in _hours(uncertain, bounds) if "traffic" in some else [(_ONE, _ONE)]:
                yield _case(uncertain, bounds, some, *hour)


def _hours(uncertain: Uncertain, bounds: Mapping[str, float]) -> list[tuple[Fraction, Fraction]]:
    level = exact(bounds[f"{PREFIX}traffic"])
    if "traffic" not in uncertain.by_share:
        return [(level, _ONE)]
    hours = [(exact(factor), exact(slow)) for factor, slow in uncertain.hours]
    return [(1 + level * (factor - 1), 1 + level * (slow - 1)) for factor, slow in hours]


def _case(
    uncertain: Uncertain,
    bounds: Mapping[str, float],
    parts: tuple[str, ...],
    traffic: Fraction,
    slow: Fraction,
) -> Case:
    level = {part: exact(bounds[PREFIX + part]) for part in parts}
    bands: dict[str, Fraction] = {
        part: level.pop(part) for part in ("latency", "rate") if part in {*uncertain.by_share} & {*level}
    }
    said = {
        "latency": "latency band" if "latency" in bands else "",
        "rate": "rate band" if "rate" in bands else "",
        "traffic": f"traffic x{float(traffic):.4g}" + (f" (times x{float(slow):.4g})" if slow > 1 else ""),
    }
    plain = {"latency": "latencies", "rate": "rates"}
    words = [
        said.get(part)
        or (f"{plain[part]} x{float(level[part]):.4g}" if part in plain else f"{level[part]} lost")
        for part in parts
    ]
    return Case(
        parts,
        ", ".join(words) or "as predicted",
        slow * level.get("latency", _ONE),
        traffic,
        level.get("rate", _ONE),
        bands,
        int(max(level.get("losses", 0), Fraction(bounds.get("spares", 0)))),
    )
