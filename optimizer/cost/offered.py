"""What is known of one chip on offer: what a total adds up over all chips of a plan."""

from typing import Protocol

from optimizer.spec.chip import Chip


class Offered(Protocol):
    """A chip as a problem offers it: its price and power are the problem's own, or those of its file."""

    @property
    def name(self) -> str:
        """As the problem spells it."""

    @property
    def usd_per_hour(self) -> float | None:
        """US dollars for one hour of one chip."""

    @property
    def power_w(self) -> float | None:
        """Watts of one chip."""

    @property
    def chip(self) -> Chip | None:
        """Its file; None of a chip that only a table knows."""
