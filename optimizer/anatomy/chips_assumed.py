"""What is assumed of the chips that a deployment is offered."""

from collections.abc import Iterable

from optimizer.anatomy.assumptions import efficiency_of, price_of
from optimizer.columns.supply import Supply
from optimizer.spec.answer import Assumption


def chips_assumed(
    supplies: Iterable[Supply], used: Iterable[str], predicted: bool = True
) -> tuple[Assumption, ...]:
    """Efficiency and price of every chip on offer, where the problem does not say; caveats of those used.

    `predicted` is False where a performance table states all rates: then no efficiency is involved.
    """
    found: list[Assumption] = []
    names = set(used)
    for supply in supplies:
        if predicted and supply.chip is not None:
            said = efficiency_of(supply.chip)
            found.append(said if supply.name in names else said.changed(caveat=False))
        if supply.chip is not None and supply.usd_per_hour == supply.chip.usd_per_chip_hour:
            found += price_of(supply.chip)
    return tuple(found)
