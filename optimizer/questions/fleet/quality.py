"""What answers of each model of a service are worth, and what the mean of all answers must be.

    sum over b, m of demand_b share_bm (quality_m - least)  >=  0

with share_bm of bucket b answered by model m: linear in the shares, whatever part of the traffic is served.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from optimizer.columns.deployment import UNIT
from optimizer.columns.totals import asked


@dataclass(frozen=True)
class Quality:
    """The quality of each model of a service, in the order of its models, and the least mean."""

    each: tuple[Fraction, ...]
    least: Fraction | None

    @classmethod
    def of(cls, each: Sequence[float], least: float | None) -> "Quality":
        """As the problem states them."""
        return cls(tuple(map(as_stated, each)), None if least is None else as_stated(least))

    def gains(self, demands: Sequence[float]) -> tuple[tuple[Fraction, ...], ...] | None:
        """By model and bucket what a unit of traffic adds to the mean above the least; None for no least.

        Programmes count traffic rounded up to whole units: of a bucket that is rounded, a unit is a bit less.
        """
        if self.least is None:
            return None
        units = [as_stated(demand) * UNIT / asked(demand) for demand in demands]
        return tuple(tuple(unit * (own - self.least) for unit in units) for own in self.each)


@dataclass(frozen=True)
class Models:
    """Which of its service's models each setup runs, and what their answers add to the mean quality."""

    of: Mapping[tuple[int, int], int]
    """By item and setup."""
    n: int
    gains: tuple[tuple[Fraction, ...], ...] | None


def as_stated(number: float) -> Fraction:
    """A number as its decimals say it."""
    return Fraction(repr(float(number)))
