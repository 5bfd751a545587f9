"""What the answer to a fleet problem shows beside what every answer does."""

from pydantic import Field

from optimizer.spec.answer import Answer, Witnesses
from optimizer.spec.robustness import Robustness


class FleetWitnesses(Witnesses):
    """A second look at a fleet: setups that were left out, and plans that its programme did not propose."""

    setups_left_out: int
    """Because one that was kept covers them."""
    setups_looked_at: int
    """Of them, held against those that were kept once more: all, or a sample by the seed."""
    plans: int
    """Plans made otherwise: none is better than the answer says is possible."""
    seed: int


class FleetAnswer(Answer):
    """The best pools of every service."""

    chips: dict[str, int] = {}
    """Chips in use by kind."""
    quality: dict[str, float] = Field(default={}, exclude_if=lambda found: not found)
    """The mean of the answers of each service that has several models."""
    percentile: dict[str, float] = Field(default={}, exclude_if=lambda found: not found)
    """Of the requests of each service, which latencies are of; services on full replicas are not named."""
    robustness: Robustness | None = Field(default=None, exclude_if=lambda found: found is None)
    """What the plan stands, shown where the problem asks that something may go wrong."""
