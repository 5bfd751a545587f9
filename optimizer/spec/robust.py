"""What a plan must stand: predictions that err, traffic that comes otherwise, replicas that are lost."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.values import RequestsPerS

BAND = "band"
"""As far as predictions err by the points that were left out."""
_MOST = 100.0


def _number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _times(value: Any) -> Any:
    if value == BAND or _number(value, 1, _MOST):
        return value
    raise ValueError(f"{repr(value)[:40]} is neither a factor from 1 to {_MOST:g} nor {BAND}")


def _share(value: Any) -> Any:
    if value == BAND or _number(value, 1e-3, 1):
        return value
    raise ValueError(f"{repr(value)[:40]} is neither a factor from 0.001 to 1 nor {BAND}")


_Either = float | str
Times = Annotated[_Either, BeforeValidator(_times, json_schema_input_type=_Either)]
Lower = Annotated[_Either, BeforeValidator(_share, json_schema_input_type=_Either)]


class Hour(Strict):
    """Traffic that may come instead of what is asked for, and how slow replicas are then."""

    factor: Annotated[float, Field(ge=1e-3, le=_MOST)] | None = None
    """Of the traffic asked for; or"""
    requests_per_s: RequestsPerS | None = None
    latency: Annotated[float, Field(ge=1, le=_MOST)] = 1.0
    """What times are multiplied by while it comes."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "Hour":
        if (self.factor is None) == (self.requests_per_s is None):
            raise ValueError("give either factor, of the traffic asked for, or requests_per_s")
        return self


def _hours(value: Any) -> Any:
    """One factor, or a list of factors and of hours."""
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("the list is empty; use a factor from 1, or a list of factors or hours")
        return tuple({"factor": own} if isinstance(own, int | float) else own for own in value)
    if _number(value, 1, _MOST):
        return ({"factor": value},)
    raise ValueError(
        f"{repr(value)[:40]} is neither a factor from 1 to {_MOST:g} nor a list of factors, or of"
        " {requests_per_s or factor, latency}"
    )


Hours = Annotated[
    tuple[Hour, ...], BeforeValidator(_hours, json_schema_input_type=float | list[float | Hour])
]

PARTS = ("latency", "rate", "traffic", "losses")
"""What may be at its worst."""


class Robust(Strict):
    """What may be at its worst, and how much of it at once."""

    latency: Times | None = None
    """Steps take this many times as long: latencies rise, and rates fall, by it."""
    rate: Lower | None = None
    """Replicas serve this share of their rates, whatever their latencies."""
    traffic: Hours | None = None
    losses: Annotated[int, Field(ge=1, le=10**7, strict=True)] | None = None
    """Replicas lost at the same time, whichever they are."""
    at_once: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Of these parts so many are at their worst at the same time, at most; without it, all."""

    @property
    def parts(self) -> tuple[str, ...]:
        """What may be at its worst."""
        return tuple(name for name in PARTS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _some(self) -> "Robust":
        if not self.parts:
            raise ValueError(f"names nothing that may go wrong; give one or several of {', '.join(PARTS)}")
        if self.at_once is not None and self.at_once > len(self.parts):
            given = f"of the {len(self.parts)} given, {', '.join(self.parts)}"
            raise ValueError(f"at_once: {self.at_once} {given}; use 1 to {len(self.parts)}, or leave it out")
        return self

    def require_factors(self) -> None:
        """ValueError where a part is a band, which is of the cost model."""
        for part in ("latency", "rate"):
            if getattr(self, part) == BAND:
                raise ValueError(
                    f"robust.{part}: {BAND} is of the cost model; of a performance_table give a factor"
                )

    @property
    def in_requests(self) -> bool:
        """Whether an hour says its traffic in requests per second."""
        return any(hour.requests_per_s for hour in self.traffic or ())

    @property
    def by_share(self) -> tuple[str, ...]:
        """Parts whose worst is no single number: a band, or several hours."""
        banded = [name for name in ("latency", "rate") if getattr(self, name) == BAND]
        plain = self.traffic is None or (len(self.traffic) == 1 and self.traffic[0].latency == 1)
        return (*banded, *([] if plain else ["traffic"]))
