"""What a problem says may go wrong, as rules with a number each and what these numbers are of."""

from collections.abc import Iterator

from optimizer.bands import band_of
from optimizer.columns.replica import engine_of
from optimizer.columns.replicas import Replicas
from optimizer.columns.scenarios import PREFIX, Spread, Uncertain
from optimizer.columns.supply import Supply
from optimizer.spec.architecture import Architecture
from optimizer.spec.deployment import ReplicaSpace
from optimizer.spec.robust import BAND, Robust

_ALL = 1.0
"""Of a band, or of a list of hours."""


def levels(robust: Robust | None, asked: float | None = None) -> dict[str, float]:
    """The rules of what may go wrong: how far each part is from what was predicted or asked for.

    `asked`: requests per second, where hours say theirs.
    """
    if robust is None:
        return {}
    return {
        PREFIX + part: _ALL if part in robust.by_share else _number(robust, part, asked)
        for part in robust.parts
    }


def _number(own: Robust, part: str, asked: float | None) -> float:
    return _hours(own, asked)[0][0] if part == "traffic" else float(getattr(own, part))


def _hours(own: Robust, asked: float | None) -> tuple[tuple[float, float], ...]:
    """Factors of traffic and of times."""
    whole = asked or 1.0
    return tuple(
        (hour.factor or (hour.requests_per_s or whole) / whole, hour.latency) for hour in own.traffic or ()
    )


def uncertain(
    robust: Robust | None,
    asked: float | None,
    space: ReplicaSpace,
    model: Architecture | None,
    replicas: Replicas,
    offered: tuple[Supply, ...],
) -> Uncertain | None:
    """What the rules are of; None where nothing may go wrong. `model`: None where tables state figures."""
    if robust is None:
        return None
    banded = BAND in (robust.latency, robust.rate)
    spreads = dict(_spreads(space, model, replicas, offered)) if banded else {}
    return Uncertain(_hours(robust, asked), robust.at_once, robust.by_share, spreads)


def _spreads(
    space: ReplicaSpace, model: Architecture | None, replicas: Replicas, offered: tuple[Supply, ...]
) -> Iterator[tuple[tuple[str, str], Spread]]:
    """How far predictions are off, of each chip on each engine; on experts' own chips as on the others."""
    chips = {s.name: s.chip for s in offered}
    for name, engine in sorted(set(zip(replicas.chip.tolist(), replicas.engine.tolist(), strict=True))):
        of = chips[name], engine_of(space, engine), model
        yield (
            (name, engine),
            Spread(
                ttft=max(1.0, band_of(*of, "ttft_ms").high),
                tpot=max(1.0, band_of(*of, "tpot_ms").high),
                rate=min(1.0, band_of(*of, "requests_per_s").low),
            ),
        )
