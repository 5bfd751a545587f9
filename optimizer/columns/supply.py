"""The chips on offer: how many, at what price and power, wired how."""

from collections.abc import Iterable
from dataclasses import dataclass

from optimizer import catalog
from optimizer.errors import InputError
from optimizer.metrics import each, metric
from optimizer.spec.chip import Chip
from optimizer.spec.deployment import Offer
from optimizer.spec.documents import USERS_FILES, Documents

GIB = 2.0**30


@dataclass(frozen=True)
class Supply:
    """Chips of one kind; None where a figure is unknown, or a count unlimited."""

    name: str
    count: int | None
    usd_per_hour: float | None
    power_w: float | None
    node: int | None
    usable_gib: float | None
    chip: Chip | None

    @property
    def domain(self) -> int | None:
        """Chips that share scale-up links: the chip's domain, or a node smaller than that."""
        if self.chip is None or self.node is None:
            return self.node
        return min(self.node, self.chip.scaleup.domain)

    @property
    def known(self) -> Chip:
        """The chip; InputError if the catalogue does not have it."""
        if self.chip is None:
            raise InputError(f"hardware: {self.name} is not in the catalogue, and there is no table of it")
        return self.chip

    def each(self, quantity: str) -> float:
        """What one chip adds to a quantity; InputError if nobody said."""
        value = each(quantity, self)
        if value is None:
            field = metric(quantity, "each").GIVEN_BY
            raise InputError(f"hardware: {self.name} has no known {quantity}; give {field} beside the chip")
        return value


def supplies(
    offers: Iterable[Offer], known_only: bool = True, documents: Documents = USERS_FILES
) -> tuple[Supply, ...]:
    """The offers with what the catalogue knows of them.

    A chip the catalogue does not know is accepted where a performance table stands in for the cost model.
    """
    found = []
    for offer in offers:
        try:
            chip = catalog.chip(offer.chip, documents)
        except InputError:
            if known_only:
                raise
            chip = None
        found.append(
            Supply(
                name=chip.name if chip else offer.chip,
                count=offer.max_count,
                usd_per_hour=offer.usd_per_chip_hour or (chip.usd_per_chip_hour if chip else None),
                power_w=offer.power_w or (chip.power or chip.tdp if chip else None),
                node=offer.node or (chip.scaleup.domain if chip else None),
                usable_gib=chip.hbm_for_programs / GIB if chip else None,
                chip=chip,
            )
        )
    names = [s.name for s in found]
    if len(set(names)) < len(names):
        raise InputError("hardware: two entries are the same chip; give it one max_count")
    return tuple(found)
