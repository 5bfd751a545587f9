"""What a free dimension or choice takes: a value, a list, or a range; read as a sorted tuple."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.quantity import spelling
from optimizer.spec.split import DEGREES, FORMAT, FORMATS


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"{value[:60]!r} is text, not a whole number{spelling(value)}")
    return value


Positive = Annotated[int, Field(ge=1, le=10**7, strict=True), BeforeValidator(_plain)]


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


class Range(Strict):
    """min, min + multiple_of, ... up to max, on multiples of `multiple_of`."""

    min: Positive
    max: Positive
    multiple_of: Positive = 1

    @model_validator(mode="after")
    def _not_empty(self) -> "Range":
        if self.max // self.multiple_of > 10**6:
            raise ValueError("a domain of more than a million values; raise multiple_of")
        if not self.values():
            raise ValueError(
                f"no multiple of {self.multiple_of} lies between {self.min} and {self.max}; "
                "the domain is empty"
            )
        return self

    def values(self) -> tuple[int, ...]:
        """The values, ascending."""
        first = -(-self.min // self.multiple_of) * self.multiple_of
        return tuple(range(first, self.max + 1, self.multiple_of))


def _domain(value: Any) -> Any:
    """A value, a list, or {min, max, multiple_of}, as a sorted tuple of distinct values."""
    if isinstance(value, dict):
        value = list(Range.model_validate(value).values())
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError("the domain is empty; give a value, a list, or {min, max, multiple_of}")
    strange = [v for v in values if isinstance(v, bool) or not isinstance(v, int)]
    if strange:
        hint = spelling(strange[0]) if isinstance(strange[0], str) else ""
        raise ValueError(
            "a dimension is a whole number, a list of them, or {min, max, multiple_of}; "
            f"{repr(strange[0])[:60]} is none{hint}"
        )
    return tuple(sorted(set(values)))


Domain = Annotated[
    tuple[Positive, ...],
    BeforeValidator(_domain, json_schema_input_type=int | list[int] | Range),
]


def domain_of(value: Any) -> Any:
    """The type of a domain whose values are of another type than whole numbers from 1."""
    return Annotated[
        tuple[value, ...], BeforeValidator(_domain, json_schema_input_type=int | list[int] | Range)
    ]


def choices(options: Any) -> Any:
    """The type of one of some options, or a list of them, as a tuple."""
    return Annotated[
        tuple[options, ...],
        BeforeValidator(_as_tuple, json_schema_input_type=options | list[options]),
        Field(min_length=1),
    ]


DEGREE_DOMAINS: dict[str, Any] = {name: (Domain, degree.domain) for name, degree in DEGREES.items()}
"""Every degree of parallelism as a free choice, with what it may be where nothing is said."""
DEGREE_VALUES: dict[str, Any] = dict.fromkeys(DEGREES, (int, 1))
FORMAT_VALUES: dict[str, Any] = {name: (own.kind, FORMAT) for name, own in FORMATS.items()}
"""Every degree and format, one value of each."""
FORMAT_CHOICES: dict[str, Any] = {name: (choices(own.kind), (FORMAT,)) for name, own in FORMATS.items()}
"""Every number format as a free choice."""
