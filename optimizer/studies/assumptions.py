"""What an answer of any kind rests on about its chips: measured or not, and where the price is from."""

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
