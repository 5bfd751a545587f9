"""Quantities with units: text such as '7.7 TB/s' becomes a float in base units, strictly.

Base units are bytes, bytes/s, FLOP/s, seconds, watts; counts are plain integers ('8.03B', '15T', '64k').
Hardware files hold text with units because GB and GiB must never be confused: on NVIDIA parts capacity
labels are binary, bandwidths decimal. For the same reason 64K is no count: it is 64k or 64Ki.
"""

import math
import re
from decimal import Context, Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, SerializationInfo, ValidationInfo

SI = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
TIME = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
DURATION = TIME | {"min": 60.0, "h": 3600.0, "d": 86400.0}
COUNT = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_PER = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "days": 86400.0}
"""Seconds of the units that fields are in."""

BASE_UNITS = {"base_units": True}
"""Context of a validation in which quantities are numbers: of fields that were read before."""

_NUMBER_UNIT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z/]*)\s*")
_LONGEST = 64

UNITS: dict[str, dict[str, float]] = {
    "bytes": {f"{p}B": f for p, f in (SI | BINARY).items()},
    "bytes/s": {f"{p}B/s": f for p, f in (SI | BINARY).items()},
    "FLOP/s": {f"{p}FLOP/s": f for p, f in SI.items()},
    "s": TIME,
    "W": {f"{p}W": SI[p] for p in ("", "k", "M")},
}
RANGES = {
    "bytes": (1.0, 1e18),
    "bytes/s": (1e3, 1e18),
    "FLOP/s": (1e6, 1e21),
    "s": (0.0, 1e3),
    "W": (1e-3, 1e9),
}
"""Least and most that a part may have, in base units: far beyond any part, and nothing overflows."""
EXAMPLES = {
    "bytes": "180 GiB",
    "bytes/s": "7.7 TB/s",
    "FLOP/s": "2.25 PFLOP/s",
    "s": "3 us",
    "W": "700 W",
}


def parse_quantity(text: Any, dimension: str) -> float:
    """Read '7.7 TB/s' as a float in the base unit of `dimension` (a key of UNITS).

    Raises ValueError naming the accepted units when the number or the unit is missing or wrong.
    """
    hint = f"write a number and a unit, such as '{EXAMPLES[dimension]}'"
    if not isinstance(text, str):
        raise ValueError(f"{_shown(text)} has no unit; {hint}")
    match = _NUMBER_UNIT.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError(f"{_shown(text)} is not a quantity; {hint}")
    number, unit = match.groups()
    scale = UNITS[dimension].get(unit)
    if scale is None:
        accepted = ", ".join(UNITS[dimension])
        raise ValueError(f"{_shown(text)}: '{unit}' is no unit of {dimension}; use one of {accepted}")
    value = float(number) * scale
    if not math.isfinite(value):
        raise ValueError(f"{_shown(text)} is too large")
    return value


def format_quantity(value: float, dimension: str) -> str:
    """Write a float in the base unit of `dimension` as text that `parse_quantity` reads back exactly.

    Numbers from 1 to 1000 are preferred, then short texts, so 7.7e12 bytes/s is '7.7 TB/s'.
    """
    units = sorted(UNITS[dimension].items(), key=lambda unit: -unit[1])
    numbers = [(value / scale, unit) for unit, scale in units]
    texts = [
        (not 1 <= number < 1000, len(text := f"{number:.{digits}g} {unit}"), text)
        for number, unit in numbers
        for digits in (4, 15, 17)
    ]
    exact = [text for text in texts if parse_quantity(text[-1], dimension) == value]
    return min(exact)[-1] if exact else f"{value!r} {dimension}"


def parse_count(value: Any) -> int:
    """Read 8030000000, 8.03e9, '8.03B', '64k' or '64Ki' as an integer, exactly; refuse fractions of one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{_shown(value)} is not a count; {_COUNTS}")
    if isinstance(value, str):
        return _count(value)
    if not abs(value) <= 1e18:  # also catches nan
        raise ValueError(f"{_shown(value)} is not a number up to 1e18")
    if abs(value - round(value)) > 1e-6 * max(1.0, abs(value)):
        raise ValueError(f"{_shown(value)} is not a whole number")
    whole: int = round(value)
    return whole


_COUNTS = "write a whole number, or one with k, M, B, T (1000s) or Ki, Mi, Gi (1024s), such as 8.03B or 64k"


_EXACT = Context(prec=100, Emax=99999, Emin=-99999)


def _decimal(number: str) -> Decimal:
    if len(number.lower().partition("e")[2]) > 4:
        raise ValueError(f"{_shown(number)} is not a number up to 1e18")
    return Decimal(number)


def _count(text: str) -> int:
    match = _NUMBER_UNIT.fullmatch(text) if len(text) <= _LONGEST and text.isascii() else None
    number, unit = match.groups() if match else ("", "")
    if match and unit == "K":
        raise ValueError(
            f"{_shown(text)} may mean thousands or 1024s; write {number}k for thousands, {number}Ki for 1024s"
        )
    if match is None or unit not in COUNT:
        raise ValueError(f"{_shown(text)} is not a count; {_COUNTS}")
    exact = _EXACT.multiply(_decimal(number), Decimal(COUNT[unit]))
    if not exact <= 10**18:
        raise ValueError(f"{_shown(text)} is not a number up to 1e18")
    if exact != exact.to_integral_value():
        raise ValueError(f"{_shown(text)} is not a whole number")
    return int(exact)


def parse_time(value: Any, unit: str) -> Any:
    """Read a number in `unit` (ms, s, min, h, days), or text with a unit of its own: '4 s' in ms is 4000.

    What is neither number nor text is given back as it is, for the field to refuse.
    """
    if not isinstance(value, str):
        return value
    match = _NUMBER_UNIT.fullmatch(value) if len(value) <= _LONGEST and value.isascii() else None
    scale = DURATION.get(match.group(2)) if match else None
    if match is None or scale is None:
        raise ValueError(f"{_shown(value)} is not a number of {unit}, nor a time with a unit: {_TIMES}")
    seconds = _EXACT.multiply(_decimal(match.group(1)), Decimal(repr(scale)))
    time = float(_EXACT.divide(seconds, Decimal(repr(_PER[unit]))))
    if not math.isfinite(time):
        raise ValueError(f"{_shown(value)} is too large")
    return time


_TIMES = f"{', '.join(DURATION)}, such as '4 s' or 1.5h"


def spelling(text: str) -> str:
    """How to write a number with a suffix, as a hint for fields that take plain numbers, or ''."""
    try:
        match = re.fullmatch(r"([0-9.]+)([kK])", text[:_LONGEST])
        if match:
            return (
                f"; write {parse_count(match[1] + 'k')}, or {parse_count(match[1] + 'Ki')} for {match[1]}Ki"
            )
        return f"; write {parse_count(text)}"
    except ValueError:
        return ""


def _shown(value: Any) -> str:
    """Quote a user's value, cut short so that a hostile one cannot flood the message."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a huge integer"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _quantity(dimension: str) -> Any:
    def serialize(value: float, info: SerializationInfo) -> Any:
        return format_quantity(value, dimension) if (info.context or {}).get("units") else value

    def read(value: Any, info: ValidationInfo) -> float:
        known = isinstance(value, float) and (info.context or {}).get("base_units")
        return value if known else parse_quantity(value, dimension)

    return Annotated[
        float,
        PlainSerializer(serialize),
        BeforeValidator(read, json_schema_input_type=str),
        Field(
            ge=RANGES[dimension][0],
            le=RANGES[dimension][1],
            description=f"a number with a unit of {dimension}, such as '{EXAMPLES[dimension]}'",
        ),
    ]


Bytes = _quantity("bytes")
BytesPerSecond = _quantity("bytes/s")
FlopsPerSecond = _quantity("FLOP/s")
Seconds = _quantity("s")
Watts = _quantity("W")
Count = Annotated[
    int,
    BeforeValidator(parse_count, json_schema_input_type=int | float | str),
    Field(gt=0),
    PlainSerializer(lambda value: value, return_type=int),
]
Fraction = Annotated[float, Field(ge=1e-4, le=1)]
"""A share of a figure that nothing exceeds."""


def time_in(unit: str) -> BeforeValidator:
    """Marks a field that is a number of `unit`, and also takes text such as '4 s'."""
    return BeforeValidator(lambda value: parse_time(value, unit), json_schema_input_type=float | str)


_AS_COUNT = BeforeValidator(parse_count, json_schema_input_type=int | str)
Tokens = Annotated[int, Field(ge=1, le=10**7), _AS_COUNT]
"""Tokens of a prompt, an answer or a sequence: 64000, 64k or 64Ki."""
Tokens0 = Annotated[int, Field(ge=0, le=10**7), _AS_COUNT]
CacheTokens = Annotated[int, Field(ge=1, le=10**13), _AS_COUNT]
"""Tokens that caches hold, of many replicas together."""
TrainingTokens = Annotated[Count, Field(ge=10**6)]
"""Tokens of a training run."""
