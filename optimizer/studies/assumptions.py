"""What an answer of any kind rests on about its chips: measured or not, and where the price is from."""

from collections.abc import Iterable

from optimizer.columns.supply import Supply
from optimizer.spec.chip import Chip
from optimizer.spec.plan import Assumption


def efficiency_of(chip: Chip) -> Assumption:
    """Whether the chip's achieved efficiencies were measured; a caveat if not."""
    measured = chip.efficiency.measured
    return Assumption(
        name=f"{chip.name} efficiency",
        value="fitted to kernels" if measured else "assumed, not measured on this chip",
        source=chip.source("efficiency"),
        caveat=not measured,
    )


def price_of(chip: Chip) -> tuple[Assumption, ...]:
    """The chip file's price and its source; nothing where it has none."""
    price = chip.usd_per_chip_hour
    if price is None:
        return ()
    source = chip.source("usd_per_chip_hour")
    return (Assumption(name=f"{chip.name} price", value=f"{price:g} USD an hour", source=source),)


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
            found.append(said if supply.name in names else said.model_copy(update={"caveat": False}))
        if supply.chip is not None and supply.usd_per_hour == supply.chip.usd_per_chip_hour:
            found += price_of(supply.chip)
    return tuple(found)
